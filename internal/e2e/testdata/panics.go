// Package main is laid over culvert's own by the test of what a panic leaves behind: this file is
// in that test's program and in no other.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

// A goroutine that nobody recovers panics at SIGUSR2.
func init() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGUSR2)
	go func() {
		<-asked
		panic("as the test asked")
	}()
}
