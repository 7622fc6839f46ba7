//go:build !linux

package turnstile

import "runtime"

// Yield lets other goroutines run; see yield_linux.go.
func Yield() { runtime.Gosched() }
