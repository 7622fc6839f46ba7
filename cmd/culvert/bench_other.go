//go:build !linux

package main

import "errors"

const benchUsage = ""

// runBench returns the error that the benchmark needs Linux.
func runBench(c *call) error {
	if _, err := c.parse(0, 0); err != nil {
		return err
	}
	return errors.New("culvert bench needs network namespaces, which only Linux has")
}
