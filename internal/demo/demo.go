// Package demo demonstrates culvert on one machine: two gateways in network namespaces, a tunnel,
// traffic, rekeys under load, and the status.
package demo

import "errors"

// ErrUnsupported is returned by Run where the operating system has no network namespaces.
var ErrUnsupported = errors.New("culvert demo needs network namespaces, which only Linux has")
