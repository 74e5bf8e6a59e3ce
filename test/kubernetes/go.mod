module rbcs/test/kubernetes

go 1.26.0

replace rbcs => ../..

require (
	k8s.io/api v0.36.3 // indirect
	k8s.io/apimachinery v0.36.3 // indirect
	k8s.io/client-go v0.36.3 // indirect
)
