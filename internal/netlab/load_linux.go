package netlab

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
)

// A Flow is TCP traffic in one direction over a number of streams.
type Flow struct {
	From, To *Host
	Src, Dst netip.Addr
	Streams  int
}

// A Load sends as fast as its flows allow, until Stop or the end of the context of StartLoad. It
// computes nothing over the data, so that the cost is the network's.
type Load struct {
	received atomic.Int64
	cancel   context.CancelFunc
	mu       sync.Mutex
	conns    []io.Closer
	running  sync.WaitGroup
}

// StartLoad connects every stream of every flow and begins to send. The caller must Stop the load.
func StartLoad(ctx context.Context, flows ...Flow) (*Load, error) {
	ctx, cancel := context.WithCancel(ctx)
	l := &Load{cancel: cancel}
	l.running.Go(func() {
		<-ctx.Done()
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, c := range l.conns {
			c.Close()
		}
		l.conns = nil
	})
	for _, f := range flows {
		if err := l.start(ctx, f); err != nil {
			l.Stop()
			return nil, err
		}
	}
	return l, nil
}

// Octets returns the octets of payload received so far, over all flows.
func (l *Load) Octets() int64 { return l.received.Load() }

// Stop ends the load and waits for its goroutines.
func (l *Load) Stop() {
	l.cancel()
	l.running.Wait()
}

// keep closes the connection with the load, or at once if the load has ended.
func (l *Load) keep(ctx context.Context, c io.Closer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if ctx.Err() != nil {
		c.Close()
		return
	}
	l.conns = append(l.conns, c)
}

func (l *Load) start(ctx context.Context, f Flow) error {
	var listener net.Listener
	err := f.To.Do(func() (err error) {
		listener, err = (&net.ListenConfig{}).Listen(ctx, "tcp", netip.AddrPortFrom(f.Dst, 0).String())
		return err
	})
	if err != nil {
		return err
	}
	l.keep(ctx, listener)
	l.running.Go(func() { l.accept(ctx, listener) })
	dialer := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(f.Src, 0))}
	return f.From.Do(func() error {
		for range f.Streams {
			c, err := dialer.DialContext(ctx, "tcp", listener.Addr().String())
			if err != nil {
				return fmt.Errorf("%s: %w", f.From.Name, err)
			}
			l.keep(ctx, c)
			l.running.Go(func() { pump(c) })
		}
		return nil
	})
}

// block is the size of a read or write.
const block = 1 << 20

// pump writes until the connection is closed.
func pump(c net.Conn) {
	b := make([]byte, block)
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

// accept reads and counts the data of every connection.
func (l *Load) accept(ctx context.Context, listener net.Listener) {
	for {
		c, err := listener.Accept()
		if err != nil {
			return
		}
		l.keep(ctx, c)
		l.running.Go(func() {
			b := make([]byte, block)
			for {
				n, err := c.Read(b)
				l.received.Add(int64(n))
				if err != nil {
					return
				}
			}
		})
	}
}
