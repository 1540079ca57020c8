// Command etcdimage writes etcd's contract to the image file named by its
// argument.
package main

import (
	"fmt"
	"os"

	"github.com/gatehouse-dev/gatehouse/test/e2e"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: etcdimage FILE")
		os.Exit(2)
	}
	if err := e2e.WriteImage(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "etcdimage:", err)
		os.Exit(1)
	}
}
