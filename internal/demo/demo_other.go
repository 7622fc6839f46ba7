//go:build !linux

package demo

import (
	"context"
	"io"
)

// Run returns ErrUnsupported.
func Run(context.Context, io.Writer) error { return ErrUnsupported }
