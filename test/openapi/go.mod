module github.com/gatehouse-dev/gatehouse/test/openapi

go 1.26.0

toolchain go1.26.11
