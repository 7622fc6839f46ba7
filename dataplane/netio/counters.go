package netio

import "sync/atomic"

// counters are one port's. Its worker adds, anyone reads.
type counters struct {
	keepalives  atomic.Uint64 // received on the NAT port: NAT-keepalives and what is too short to be anything
	truncated   atomic.Uint64 // received, larger than the buffer, dropped
	kernelDrops atomic.Uint64 // dropped by the kernel because the socket's buffer was full
	tooBig      atomic.Uint64 // not sent: larger than the path MTU
	wouldBlock  atomic.Uint64 // not sent: the socket's buffer was full
	sendErrors  atomic.Uint64 // not sent for any other reason
	gsoRefused  atomic.Uint64 // runs sent one by one because the kernel or device refused UDP_SEGMENT
}

// addTo adds the counters' values to m under their names in the status and metrics.
func (c *counters) addTo(m map[string]uint64) {
	m["net_keepalives_in"] += c.keepalives.Load()
	m["net_truncated"] += c.truncated.Load()
	m["net_kernel_drops"] += c.kernelDrops.Load()
	m["net_send_too_big"] += c.tooBig.Load()
	m["net_send_would_block"] += c.wouldBlock.Load()
	m["net_send_errors"] += c.sendErrors.Load()
	m["net_gso_refused"] += c.gsoRefused.Load()
}
