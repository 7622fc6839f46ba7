//go:build !linux

package driver

import "time"

// lowerPriority does nothing: only Linux has priorities of threads that need no library.
func lowerPriority(int) {}

// threadTime returns the time, of which the calling thread had a processor for a part.
func threadTime() time.Duration { return time.Duration(time.Now().UnixNano()) }
