//go:build tools

// The commands built from other modules as they are; named here so that go.mod pins them.
package tools

import (
	_ "github.com/google/pprof"
	_ "helm.sh/helm/v3/cmd/helm"
)
