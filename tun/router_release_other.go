//go:build !linux

package tun

// Release has nothing to remove: routes to a device go with it here.
func Release() ([]string, error) { return nil, nil }
