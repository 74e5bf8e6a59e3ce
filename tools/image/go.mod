module rbcs/tools/image

go 1.26.0
