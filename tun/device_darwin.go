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

// MaxQueues is how many queues a device can have.
const MaxQueues = 1

// Device is a utun device of this process; it goes when it is closed or when the process dies. macOS has one queue for each device
// and no offloads. Its methods may be called from any goroutine.
type Device struct {
	name  string
	index int
	dev   wgtun.Device
	log   *slog.Logger
}

// Open makes the device. A name that is not "utun" or "utunN" is replaced by "utun", where the system chooses the number:
// it allows no other names.
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

// drain takes the device's events, which nothing here needs, until it is closed.
func drain(dev wgtun.Device) {
	for range dev.Events() {
	}
}

// Name is the device's name, with the number that the system chose.
func (d *Device) Name() string { return d.name }

// Index is the device's interface index.
func (d *Device) Index() int { return d.index }

// Offloads is empty here.
func (d *Device) Offloads() gso.Offloads { return gso.Offloads{} }

// Queues is the device's one queue.
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

// Counters is empty here.
func (d *Device) Counters() map[string]uint64 { return nil }

// Close removes the device; a blocked Read returns.
func (d *Device) Close() error { return d.dev.Close() }
