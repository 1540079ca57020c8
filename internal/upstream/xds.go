package upstream

import (
	"errors"
	"fmt"
	"os"

	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/xds"
	_ "google.golang.org/grpc/xds" // so that targets may be xds:///

	"github.com/gatehouse-dev/gatehouse/internal/files"
)

// bootstrapped tells whether grpc-go will find its way to the control plane. It
// reads the same variables, once, when the process starts.
func bootstrapped() error {
	file, text := os.Getenv("GRPC_XDS_BOOTSTRAP"), os.Getenv("GRPC_XDS_BOOTSTRAP_CONFIG")
	if file == "" && text == "" {
		return errors.New("an xds target needs the way to its control plane: set GRPC_XDS_BOOTSTRAP to the path of a bootstrap file (gRFC A27)")
	}
	if file == "" {
		return nil
	}
	if _, err := files.Read(file, files.MaxBytes); err != nil {
		return fmt.Errorf("the bootstrap file that GRPC_XDS_BOOTSTRAP names cannot be read: %w", err)
	}
	return nil
}

// meshCredentials are those that the control plane asks for (gRFC A29), and
// otherwise the configured ones.
func meshCredentials(otherwise credentials.TransportCredentials) (credentials.TransportCredentials, error) {
	return xds.NewClientCredentials(xds.ClientOptions{FallbackCreds: otherwise})
}
