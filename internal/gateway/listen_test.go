package gateway_test

import "net"

// listenAt opens an address that was in use before.
func listenAt(address string) (net.Listener, error) { return net.Listen("tcp", address) }
