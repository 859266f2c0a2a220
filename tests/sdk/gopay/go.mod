module driver

go 1.24

require (
	github.com/go-pay/gopay v1.5.115
	github.com/go-pay/util v0.0.4
)

require (
	github.com/go-pay/crypto v0.0.1 // indirect
	github.com/go-pay/xlog v0.0.3 // indirect
	golang.org/x/crypto v0.39.0 // indirect
)
