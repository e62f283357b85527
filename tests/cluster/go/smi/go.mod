module cluster.test/smi

go 1.24.0

require github.com/servicemeshinterface/smi-sdk-go v0.4.1
