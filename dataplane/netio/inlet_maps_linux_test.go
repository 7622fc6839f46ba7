package netio

import "testing"

// Of two SPIs with the same place the first one is taken until it has gone.
func TestSPITable(t *testing.T) {
	table := make(spiTable, 4*knownSlots)
	const first, second = 1000, 1000 + knownSlots
	table.know(first)
	table.know(second)
	if got := table.place(first).Load(); got != first {
		t.Errorf("%d is known, want %d", got, first)
	}
	table.forget(second)
	if got := table.place(first).Load(); got != first {
		t.Errorf("%d is known after another has gone", got)
	}
	table.forget(first)
	table.know(second)
	if got := table.place(first).Load(); got != second {
		t.Errorf("%d is known, want %d", got, second)
	}
}
