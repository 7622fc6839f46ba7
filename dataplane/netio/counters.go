package netio

import "sync/atomic"

// counters are those of one port. Its worker adds; any goroutine may read.
type counters struct {
	keepalives  atomic.Uint64 // received on the NAT port: NAT-keepalives and datagrams shorter than an SPI
	truncated   atomic.Uint64 // received, larger than the buffer, dropped
	kernelDrops atomic.Uint64 // dropped by the kernel because the socket's buffer was full
	tooBig      atomic.Uint64 // not sent: larger than the path MTU
	wouldBlock  atomic.Uint64 // not sent: the UDP socket's buffer was full
	noBuffers   atomic.Uint64 // not sent: the queue of the device, or the buffer of a raw socket, was full
	sendErrors  atomic.Uint64 // not sent for any other reason
	moved       atomic.Uint64 // remotes that filled the send buffer and were moved to another
	shed        atomic.Uint64 // times that more of an SA's packets was shed, as they fill a receive buffer
	gsoRefused  atomic.Uint64 // refusals of UDP_SEGMENT by the kernel or a device
	ring        atomic.Uint64 // packets of IP protocol 50 received past the IP stack
	direct      atomic.Uint64 // of protocol 50, sent past the IP stack
	fallback    atomic.Uint64 // of protocol 50, sent through the IP stack because they could not pass by it
}

// lost counts n datagrams that were not sent.
func (c *counters) lost(n int, err error) {
	switch err {
	case ErrTooBig:
		c.tooBig.Add(uint64(n))
	case ErrWouldBlock:
		c.wouldBlock.Add(uint64(n))
	case errNoBuffers:
		c.noBuffers.Add(uint64(n))
	case errRefused: // counted for all sockets together
	default:
		c.sendErrors.Add(uint64(n))
	}
}

// addTo adds the counters to m under their names in status and metrics.
func (c *counters) addTo(m map[string]uint64) {
	m["net_keepalives_in"] += c.keepalives.Load()
	m["net_truncated"] += c.truncated.Load()
	m["net_kernel_drops"] += c.kernelDrops.Load()
	m["net_send_too_big"] += c.tooBig.Load()
	m["net_send_would_block"] += c.wouldBlock.Load()
	m["net_send_no_buffers"] += c.noBuffers.Load()
	m["net_send_errors"] += c.sendErrors.Load()
	m["net_send_moved"] += c.moved.Load()
	m["net_shed"] += c.shed.Load()
	m["net_gso_refused"] += c.gsoRefused.Load()
	m["net_ring"] += c.ring.Load()
	m["net_direct"] += c.direct.Load()
	m["net_direct_fallback"] += c.fallback.Load()
}
