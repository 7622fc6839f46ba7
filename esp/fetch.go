package esp

import "culvert/esp/internal/aesgcm"

// Fetch loads what opening a packet of each SA will read first, as far as memory has it and no
// cache: for all at once, in steps of which each needs what the one before has loaded. It returns a
// number that only keeps the loads from being left out. nil elements are passed over.
func Fetch(list []*Inbound) (used uint64) {
	for _, in := range list {
		if in != nil {
			used += uint64(in.spi) + in.window.top.Load() + in.used.word.Load()
		}
	}
	for _, in := range list {
		if in != nil && len(in.window.ring) > 0 {
			used += in.window.word(in.window.top.Load()).Load()
		}
	}
	for _, in := range list {
		if in != nil {
			aesgcm.Fetch(in.whole)
		}
	}
	return used
}
