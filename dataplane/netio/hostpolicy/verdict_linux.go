package hostpolicy

import "golang.org/x/sys/unix"

// Verdicts (linux/netfilter/nf_tables.h).
const (
	nfAccept    = 1
	nftContinue = -1
	nftJump     = -3
	nftGoto     = -4
	nftReturn   = -5
)

// A verdict is what becomes of a packet at the end of a rule.
type verdict struct {
	code  int32
	chain string // to jump to
}

// dataOf returns a constant.
func dataOf(b []byte) []byte {
	for kind, v := range attributes(b) {
		if kind == unix.NFTA_DATA_VALUE {
			return v
		}
	}
	return nil
}

// parseVerdict returns the verdict in a constant, nil if it is another one.
func parseVerdict(b []byte) *verdict {
	for kind, v := range attributes(b) {
		if kind != unix.NFTA_DATA_VERDICT {
			continue
		}
		out := &verdict{}
		for kind, v := range attributes(v) {
			switch kind {
			case unix.NFTA_VERDICT_CODE:
				out.code = int32(number(v))
			case unix.NFTA_VERDICT_CHAIN:
				out.chain = text(v)
			}
		}
		return out
	}
	return nil
}
