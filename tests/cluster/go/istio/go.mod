module cluster.test/istio

go 1.24.0

require istio.io/api v1.32.0
