package tun

import (
	"culvert/tun/gso"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"

	wgtun "golang.zx2c4.com/wireguard/tun"
)

// MaxQueues is the greatest number of queues of a device.
const MaxQueues = 1

// A Device is a utun device of this process. It goes when it is closed or the process ends. On
// macOS a device has one queue and no offloads. Its methods may be called from any goroutine.
type Device struct {
	name  string
	index int
	dev   wgtun.Device
	log   *slog.Logger
}

// Open makes the device. macOS allows only the names "utun", for which it chooses a number, and
// "utunN"; any other name is replaced by "utun".
func Open(cfg Config) (*Device, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	name := cfg.Name
	if len(name) < 4 || name[:4] != "utun" {
		name = "utun"
	}
	if cfg.MTU == 0 {
		cfg.MTU = defaultMTU
	}
	dev, err := wgtun.CreateTUN(name, cfg.MTU)
	switch {
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("tun: making device %s: %w: run as root", name, err)
	case err != nil:
		return nil, fmt.Errorf("tun: making device %s: %w", name, err)
	}
	d := &Device{dev: dev, log: cfg.Log}
	if d.name, err = dev.Name(); err != nil {
		dev.Close()
		return nil, fmt.Errorf("tun: asking for the device's name: %w", err)
	}
	ifi, err := net.InterfaceByName(d.name)
	if err != nil {
		dev.Close()
		return nil, fmt.Errorf("tun: looking up %s: %w", d.name, err)
	}
	d.index = ifi.Index
	go drain(dev)
	d.log.Info("tun device is up", "device", d.name, "queues", 1, "offloads", gso.Offloads{}.String())
	return d, nil
}

const defaultMTU = 1500

// drain discards the device's events until it is closed.
func drain(dev wgtun.Device) {
	for range dev.Events() {
	}
}

// Name returns the device's name, with the number that the system chose.
func (d *Device) Name() string { return d.name }

// Index returns the device's interface index.
func (d *Device) Index() int { return d.index }

// Offloads returns none.
func (d *Device) Offloads() gso.Offloads { return gso.Offloads{} }

// Queues returns the device's one queue.
func (d *Device) Queues() []Queue {
	return []Queue{&queue{dev: d.dev, frame: make([]byte, utunHeader+gso.MaxPacket), sizes: make([]int, 1)}}
}

// SetMTU sets the device's MTU.
func (d *Device) SetMTU(mtu int) error {
	if err := setMTU(d.name, mtu); err != nil {
		return fmt.Errorf("tun: setting the MTU of %s to %d: %w", d.name, mtu, err)
	}
	return nil
}

// Counters returns nil.
func (d *Device) Counters() map[string]uint64 { return nil }

// Close removes the device; a blocked Read returns.
func (d *Device) Close() error { return d.dev.Close() }
