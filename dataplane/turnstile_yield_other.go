//go:build !linux

package dataplane

import "runtime"

// yield lets other goroutines run; see turnstile_yield_linux.go.
func yield() { runtime.Gosched() }
