//go:build !linux

package driver

// lowerPriority does nothing: only Linux has priorities of threads that need no library.
func lowerPriority() {}
