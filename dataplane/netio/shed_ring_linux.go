package netio

import (
	"encoding/binary"
	"strconv"

	"github.com/cilium/ebpf/asm"
)

// The first part of a ring has what is shed of its packets, for the program to read: for each SA
// its SPI, and in the lower half the part that is kept. The first 0 ends them.
const ringShed = 192

// noteTaken counts the packets that are taken from the ring, from first to before end, and reports
// whether from now on more is shed.
func (r *ring) noteTaken(first, end uint64) (more bool) {
	d := &r.shedding
	for n := first; d.alarm && n < end; n++ {
		d.note(binary.BigEndian.Uint32(r.slot(n)[slotData:]), 1)
	}
	if !d.due(int(end - first)) {
		return false
	}
	more, changed := d.look(int(word(r.mem, ringHead).Load() - end))
	if changed {
		r.tellShed()
	}
	return more
}

// emptied records that the ring is empty.
func (r *ring) emptied() {
	if r.shedding.end() {
		r.tellShed()
	}
}

// tellShed has the program shed what is to be shed.
func (r *ring) tellShed() {
	for i := range maxShed {
		entry := uint64(0)
		if i < len(r.shedding.shed) {
			c := r.shedding.shed[i]
			entry = uint64(c.spi)<<32 | uint64(c.keep)
		}
		word(r.mem, ringShed+8*i).Store(entry)
	}
}

// shed drops a part of the packets of the SAs that are shed from, at random. They count as those
// that find no free slot.
func shed() asm.Instructions {
	var p asm.Instructions
	for i := range maxShed {
		next := "kept"
		if i < maxShed-1 {
			next = "shed" + strconv.Itoa(i+1)
		}
		p = append(p,
			asm.LoadMem(asm.R1, asm.R10, stackHead, asm.DWord).WithSymbol("shed"+strconv.Itoa(i)),
			asm.LoadMem(asm.R2, asm.R1, int16(ringShed+8*i), asm.DWord),
			asm.JEq.Imm(asm.R2, 0, "kept"),
			asm.Mov.Reg(asm.R3, asm.R2),
			asm.RSh.Imm(asm.R3, 32),
			asm.LoadMem(asm.R4, asm.R10, stackSPI, asm.DWord),
			asm.JNE.Reg(asm.R3, asm.R4, next),
			asm.LSh.Imm(asm.R2, 32),
			asm.RSh.Imm(asm.R2, 32),
			asm.StoreMem(asm.R10, stackNumber, asm.R2, asm.DWord),
			asm.FnGetPrandomU32.Call(),
			asm.LoadMem(asm.R2, asm.R10, stackNumber, asm.DWord),
			asm.JGT.Reg(asm.R0, asm.R2, "full"),
			asm.Ja.Label("kept"),
		)
	}
	return append(p, asm.Mov.Imm(asm.R0, 0).WithSymbol("kept"))
}
