package gso

// What the tests against the kernel, which need package tun, share with those of this package.
type (
	Source        = source
	ArrivedPacket = arrivedPacket
)

var (
	Mix          = mix
	RandomScript = randomScript
	Stream       = stream
	FixSums      = fixSums
	SetLength    = setLength
	CheckFlows   = checkFlows
	CheckOrder   = checkOrder
	UpperOf      = upperOf
)

// Single writes a packet as it is.
func (g *Coalescer[S]) Single(c S, pkt []byte) { g.single(c, pkt) }
