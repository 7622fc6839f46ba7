package netlab

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Flood sends as much as goes by TCP over the given number of streams for the given time, and returns the octets that arrived within it and the time that
// was measured. Nothing is computed over the data: the cost is the network's.
func Flood(ctx context.Context, from *Host, src netip.Addr, to *Host, dst netip.Addr, streams int, d time.Duration) (octets int64, took time.Duration, err error) {
	var l net.Listener
	err = to.Do(func() (err error) {
		l, err = (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(dst, 0).String())
		return err
	})
	if err != nil {
		return 0, 0, err
	}
	var received atomic.Int64
	defer closeOn(ctx, l)()
	defer l.Close()
	go drain(l, &received)
	port := uint16(l.Addr().(*net.TCPAddr).Port)
	conns := make([]net.Conn, 0, streams)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(src, 0))}
	for range streams {
		err := from.Do(func() error {
			c, err := dialer.DialContext(ctx, "tcp", netip.AddrPortFrom(dst, port).String())
			if err == nil {
				conns = append(conns, c)
			}
			return err
		})
		if err != nil {
			return 0, 0, fmt.Errorf("%s: %w", from.Name, err)
		}
	}
	for _, c := range conns {
		go pump(c)
	}
	first, start := received.Load(), time.Now()
	select {
	case <-time.After(d):
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	octets, took = received.Load()-first, time.Since(start)
	if octets == 0 {
		return 0, took, errors.New("nothing arrived")
	}
	return octets, took, nil
}

// pump writes until the connection is closed.
func pump(c net.Conn) {
	b := make([]byte, 1<<20)
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// drain reads all that comes on every connection, and counts it.
func drain(l net.Listener, received *atomic.Int64) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, 1<<20)
			for {
				n, err := c.Read(b)
				received.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
	}
}
