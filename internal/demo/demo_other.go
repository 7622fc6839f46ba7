//go:build !linux

package demo

import (
	"context"
	"io"
)

// Run says that the demonstration needs Linux.
func Run(context.Context, io.Writer) error { return ErrUnsupported }
