package daemon

import (
	"crypto/rand"
	"encoding/binary"
	"maps"
	"math"
	"slices"

	"culvert/internal/ipsec"
)

// needsRecord reports whether anything of a manual SA must outlast the daemon. One that only
// receives, and has no replay window, has nothing.
func needsRecord(sa *ipsec.ChildSA) bool { return sa.SPIOut != 0 || sa.ReplayWindow > 0 }

// begin gives manual SAs that are about to be installed, and have IDs, the state with which they
// begin: that of their records, or the State that they have already, of a pair that was taken out.
// On an error none may be installed that needsRecord.
func (k *manualRecorder) begin(sas []*ipsec.ChildSA) error {
	sas = slices.DeleteFunc(sas, func(sa *ipsec.ChildSA) bool { return !needsRecord(sa) })
	if len(sas) == 0 {
		return nil
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if err := k.load(); err != nil {
		return err
	}
	next, begun := k.records.clone(), map[ipsec.ChildID]*keptSA{}
	used := map[manualID]bool{}
	for _, kept := range k.live {
		used[kept.out] = true
	}
	for _, sa := range sas {
		kept := k.beginOne(sa, next, used)
		begun[sa.ID], used[kept.out] = kept, true
	}
	if err := k.write(next); err != nil {
		return err
	}
	maps.Copy(k.live, begun)
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return nil
}

// lastSequence returns the last sequence number of an SA (RFC 4303, Section 3.3.3).
func lastSequence(sa *ipsec.ChildSA) uint64 {
	if sa.ESN {
		return math.MaxUint64
	}
	return math.MaxUint32
}

// beginOne is begin for one SA, whose new records it adds to next.
func (k *manualRecorder) beginOne(sa *ipsec.ChildSA, next manualRecords, used map[manualID]bool) *keptSA {
	kept := &keptSA{name: sa.Name, last: lastSequence(sa)}
	if sa.SPIOut != 0 {
		kept.out = manualID{digestOf(encryptionKey(sa)), sa.SPIOut, sa.Name}
		k.beginSending(sa, kept, next, used)
	}
	if sa.SPIIn != 0 && sa.ReplayWindow > 0 {
		kept.in = manualID{digestOf(sa.KeyIn), sa.SPIIn, sa.Name}
		if was, ok := next.findTop(kept.in); ok {
			sa.State.Highest = max(sa.State.Highest, next.top[was])
			delete(next.top, was)
		}
		next.top[kept.in] = sa.State.Highest
	}
	return kept
}

// encryptionKey returns the part of an outbound key that no IV may meet twice: all but the key of
// an integrity algorithm, with which it may have been used before.
func encryptionKey(sa *ipsec.ChildSA) []byte {
	if n, _ := sa.Cipher.KeyLens(); n > 0 && n <= len(sa.KeyOut) {
		return sa.KeyOut[:n]
	}
	return sa.KeyOut // without encryption
}

// beginSending begins the outbound direction: beyond all numbers that were allowed, or, where the
// pair was only taken out, beyond those that it has used.
func (k *manualRecorder) beginSending(sa *ipsec.ChildSA, kept *keptSA, next manualRecords, used map[manualID]bool) {
	was, ok := next.findSent(kept.out, used)
	record := next.sent[was]
	if ok {
		delete(next.sent, was)
		if sa.State.Sent.Packets == 0 {
			sa.State.Sent.Packets = record.allowed
		}
	} else {
		record.ivStart = randomStart()
		k.log.Info("there is no record of this manual SA: its sequence numbers begin at 1. A peer with a replay window that has seen higher ones refuses its packets until it is restarted, or both sides have new keys",
			"event", "manual-sequence-new", "peer", sa.Name.Peer, "child", sa.Name.Child, "spi_out", espSPI(sa.SPIOut))
	}
	record.allowed = max(record.allowed, ahead(sa.State.Sent.Packets, leastAhead, kept.last))
	next.sent[kept.out] = record
	sa.IVStart, sa.Allowed = record.ivStart, record.allowed
	kept.begun, kept.seen = sa.State.Sent.Packets, sa.State.Sent.Packets
}

// randomStart draws where the IVs of a key begin. Should the records be lost, those of the next
// ones are others but for a chance of one in 2^31, without extended sequence numbers.
func randomStart() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return binary.BigEndian.Uint64(b[:])
}
