//go:build !linux

package tun

// Release does nothing: on this system routes to a device go with the device.
func Release() ([]string, error) { return nil, nil }
