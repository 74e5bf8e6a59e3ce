package chart

import (
	"slices"
	"strings"
	"testing"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

// decoder knows the types of Kubernetes, the Gateway API and the Prometheus
// operator. It refuses unknown and duplicate fields.
var decoder = func() runtime.Decoder {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, gateway.Install, monitoring.AddToScheme} {
		if err := add(known); err != nil {
			panic(err)
		}
	}
	return json.NewSerializerWithOptions(json.DefaultMetaFactory, known, known, json.SerializerOptions{Yaml: true, Strict: true})
}()

// decode returns an object in its published Go type.
func decode(t *testing.T, o object) runtime.Object {
	t.Helper()
	decoded, _, err := decoder.Decode([]byte(o.yaml), nil, nil)
	if err != nil {
		t.Fatalf("%s, %s: %v in\n%s", o.file, o, err, o.yaml)
	}
	return decoded
}

func decodeAs[T runtime.Object](t *testing.T, o object) T {
	t.Helper()
	decoded, ok := decode(t, o).(T)
	if !ok {
		t.Fatalf("%s is a %T", o, decoded)
	}
	return decoded
}

// podOf returns the pod that an object makes, or nil.
func podOf(o runtime.Object) *corev1.PodTemplateSpec {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Template
	case *appsv1.StatefulSet:
		return &o.Spec.Template
	case *batchv1.Job:
		return &o.Spec.Template
	case *corev1.Pod:
		return &corev1.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}
	}
	return nil
}

func TestEverythingDecodesStrictly(t *testing.T) {
	eachScenario(t, func(t *testing.T, r release) {
		if len(r.objects) < 8 {
			t.Errorf("only %d objects: %v", len(r.objects), r.objects)
		}
		names := map[string]bool{}
		for _, o := range r.objects {
			decode(t, o)
			if names[o.String()] {
				t.Errorf("two of %s", o)
			}
			names[o.String()] = true
			if o.file != "extra.yaml" && (o.Metadata.Namespace != "bank" || o.Metadata.Labels["app.kubernetes.io/instance"] != "rbcs") {
				t.Errorf("%s: namespace %q, labels %v", o, o.Metadata.Namespace, o.Metadata.Labels)
			}
		}
	})
}

// TestAnUnknownFieldIsFound: the check before is worth something.
func TestAnUnknownFieldIsFound(t *testing.T) {
	for _, wrong := range []string{
		"apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {port: []}\n",
		"apiVersion: v1\nkind: Service\nmetadata: {name: a, name: b}\n",
		"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nspec: {hostname: a}\n",
	} {
		if _, _, err := decoder.Decode([]byte(wrong), nil, nil); err == nil {
			t.Errorf("decoded:\n%s", wrong)
		}
	}
}

// TestPodsAreRestricted holds every pod against the Pod Security Standard
// "restricted", and asks for a read-only file system and limits beside it.
func TestPodsAreRestricted(t *testing.T) {
	eachScenario(t, func(t *testing.T, r release) {
		for _, o := range r.objects {
			pod := podOf(decode(t, o))
			if pod == nil {
				continue
			}
			spec := pod.Spec
			if spec.HostNetwork || spec.HostPID || spec.HostIPC {
				t.Errorf("%s: uses the host's namespaces", o)
			}
			if on := spec.AutomountServiceAccountToken; on == nil || *on {
				t.Errorf("%s: has a token of the API server, which it does not need", o)
			}
			if on := spec.EnableServiceLinks; on == nil || *on {
				t.Errorf("%s: gets the addresses of all services as variables", o)
			}
			if s := spec.SecurityContext; s == nil || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault || !*s.RunAsNonRoot || *s.RunAsUser == 0 {
				t.Errorf("%s: security context %+v", o, s)
			}
			for _, volume := range spec.Volumes {
				if volume.HostPath != nil {
					t.Errorf("%s: mounts %s of the host", o, volume.HostPath.Path)
				}
			}
			for _, c := range slices.Concat(spec.InitContainers, spec.Containers) {
				s := c.SecurityContext
				if s == nil || !*s.RunAsNonRoot || *s.AllowPrivilegeEscalation || !*s.ReadOnlyRootFilesystem || s.Privileged != nil ||
					!slices.Equal(s.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(s.Capabilities.Add) > 0 ||
					s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
					t.Errorf("%s, %s: security context %+v", o, c.Name, s)
				}
				if c.Resources.Limits.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() || c.Resources.Requests.Memory().IsZero() {
					t.Errorf("%s, %s: resources %+v", o, c.Name, c.Resources)
				}
				for _, mount := range c.VolumeMounts {
					if !slices.ContainsFunc(spec.Volumes, func(v corev1.Volume) bool { return v.Name == mount.Name }) {
						if s, ok := decode(t, o).(*appsv1.StatefulSet); !ok || len(s.Spec.VolumeClaimTemplates) == 0 {
							t.Errorf("%s: no volume %s", o, mount.Name)
						}
					}
				}
			}
		}
	})
}

// TestGoKnowsTheLimits: GOMEMLIMIT is 90 % of the memory limit, GOMAXPROCS the CPU limit.
func TestGoKnowsTheLimits(t *testing.T) {
	eachScenario(t, func(t *testing.T, r release) {
		for _, name := range []string{"rbcs-balance", "rbcs-gateway", "ledger-balance", "ledger-gateway"} {
			for _, o := range r.objects {
				if o.Kind != "Deployment" || o.Metadata.Name != name {
					continue
				}
				c := podOf(decode(t, o)).Spec.Containers[0]
				limit := c.Resources.Limits.Memory().Value()
				memory := resource.MustParse(env(c, "GOMEMLIMIT").Value)
				if got := memory.Value(); got < limit*89/100 || got > limit*9/10 {
					t.Errorf("%s: GOMEMLIMIT %d with a limit of %d", o, got, limit)
				}
				processors := env(c, "GOMAXPROCS")
				switch _, limited := c.Resources.Limits[corev1.ResourceCPU]; {
				case !limited && processors != nil:
					t.Errorf("%s: GOMAXPROCS without a limit of CPU", o)
				case limited && (processors == nil || processors.ValueFrom.ResourceFieldRef.Resource != "limits.cpu"):
					t.Errorf("%s: GOMAXPROCS %+v", o, processors)
				}
			}
		}
	})
}

func env(c corev1.Container, name string) *corev1.EnvVar {
	if i := slices.IndexFunc(c.Env, func(e corev1.EnvVar) bool { return e.Name == name }); i >= 0 {
		return &c.Env[i]
	}
	return nil
}

// arg returns the value of a flag of a container.
func arg(c corev1.Container, flag string) string {
	for _, a := range c.Args {
		if value, ok := strings.CutPrefix(a, flag+"="); ok {
			return value
		}
	}
	return ""
}

// TestSelectorsFindTheirPods: what refers to pods or services by labels or names
// finds exactly what it is for.
func TestSelectorsFindTheirPods(t *testing.T) {
	eachScenario(t, func(t *testing.T, r release) {
		var pods []labels.Set
		deployments, services := map[string]bool{}, map[string]bool{}
		for _, o := range r.objects {
			decoded := decode(t, o)
			if pod := podOf(decoded); pod != nil {
				pods = append(pods, pod.Labels)
			}
			switch d := decoded.(type) {
			case *appsv1.Deployment:
				deployments[d.Name] = true
				find(t, o, d.Spec.Selector, []labels.Set{d.Spec.Template.Labels})
				for _, spread := range d.Spec.Template.Spec.TopologySpreadConstraints {
					find(t, o, spread.LabelSelector, []labels.Set{d.Spec.Template.Labels})
				}
			case *corev1.Service:
				services[d.Name] = true
			}
		}
		for _, o := range r.objects {
			switch d := decode(t, o).(type) {
			case *corev1.Service:
				find(t, o, &metav1.LabelSelector{MatchLabels: d.Spec.Selector}, pods)
			case *policy.PodDisruptionBudget:
				find(t, o, d.Spec.Selector, pods)
			case *networking.NetworkPolicy:
				find(t, o, &d.Spec.PodSelector, pods)
			case *autoscaling.HorizontalPodAutoscaler:
				if !deployments[d.Spec.ScaleTargetRef.Name] {
					t.Errorf("%s: no Deployment %s", o, d.Spec.ScaleTargetRef.Name)
				}
				if decodeAs[*appsv1.Deployment](t, r.find(t, "Deployment", d.Spec.ScaleTargetRef.Name)).Spec.Replicas != nil {
					t.Errorf("%s: an upgrade would undo what it scaled", o)
				}
			case *networking.Ingress:
				for _, rule := range d.Spec.Rules {
					for _, path := range rule.HTTP.Paths {
						if !services[path.Backend.Service.Name] {
							t.Errorf("%s: no Service %s", o, path.Backend.Service.Name)
						}
					}
				}
			case *gateway.HTTPRoute:
				if name := string(d.Spec.Rules[0].BackendRefs[0].Name); !services[name] {
					t.Errorf("%s: no Service %s", o, name)
				}
			case *appsv1.Deployment:
				if where := arg(d.Spec.Template.Spec.Containers[0], "--discover"); where != "" {
					name := strings.Split(where, ":")[1]
					if found := decodeAs[*corev1.Service](t, r.find(t, "Service", name)); found.Spec.ClusterIP != corev1.ClusterIPNone || !found.Spec.PublishNotReadyAddresses {
						t.Errorf("%s: %s is one address for all instances, or hides those that are not ready", o, name)
					}
				}
			}
		}
	})
}

// find fails unless a selector matches exactly one of the pods.
func find(t *testing.T, o object, selector *metav1.LabelSelector, pods []labels.Set) {
	t.Helper()
	s, err := metav1.LabelSelectorAsSelector(selector)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, pod := range pods {
		if s.Matches(pod) {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%s: %s matches %d pods", o, s, n)
	}
}
