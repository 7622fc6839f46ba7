package guard

import (
	"hash/maphash"

	"golang.org/x/sys/unix"
)

// layoutSeed differs in each process. Layouts are compared within a process only.
var layoutSeed = maphash.MakeSeed()

// layoutOf returns a digest of a table's flags, chains, rules and sets, with their handles, without
// elements and counters. It returns 0 if there is no such table.
func (s *socket) layoutOf(table string) (uint64, error) {
	var h maphash.Hash
	h.SetSeed(layoutSeed)
	for _, q := range []struct{ typ, attr uint16 }{
		{unix.NFT_MSG_GETTABLE, unix.NFTA_TABLE_NAME},
		{unix.NFT_MSG_GETCHAIN, unix.NFTA_CHAIN_TABLE},
		{unix.NFT_MSG_GETRULE, unix.NFTA_RULE_TABLE},
		{unix.NFT_MSG_GETSET, unix.NFTA_SET_TABLE},
	} {
		var part maphash.Hash
		found := false
		b := newBatch(table)
		b.begin(subsystem|q.typ, unix.NLM_F_DUMP, "the table")
		if q.typ != unix.NFT_MSG_GETTABLE { // that dumps all tables
			b.text(q.attr, table)
		}
		err := s.retry(b, func() { part.SetSeed(layoutSeed); found = false }, func(typ uint16, data []byte) {
			if name, _ := parseNotice(typ, data); name == table {
				found = true
				part.Write(data[4:]) // without the header, which contains the generation
			}
		})
		if err != nil || !found {
			return 0, err
		}
		maphash.WriteComparable(&h, part.Sum64())
	}
	return h.Sum64(), nil
}

// check reports whether the table's layout is that of the last call. After a change of our own any
// layout counts as the same.
func (g *Guard) check() (same bool, err error) {
	now, err := g.socket.layoutOf(g.table)
	if err != nil {
		return false, err
	}
	same = now != 0 && (g.layout == 0 || g.layout == now)
	g.layout = now
	return same, nil
}
