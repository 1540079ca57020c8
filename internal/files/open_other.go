//go:build !unix

package files

// nonBlocking is nothing where no path can be a pipe.
const nonBlocking = 0
