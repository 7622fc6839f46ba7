package netio

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/cilium/ebpf/asm"
)

// The kernel takes the operation of an atomic instruction from its immediate (Linux,
// Documentation/bpf/standardization/instruction-set.rst), which the assembler must not lose: an
// addition in place of an exchange passes the verifier.
func TestAtomicsAreWhole(t *testing.T) {
	program := ringProgram(ringMaps{3, 4, 5, 6}, 2, tcxDrop)
	found := map[int32]int{}
	for _, ins := range program {
		if ins.OpCode.Class() != asm.StXClass || ins.OpCode.Mode() != asm.AtomicMode {
			continue
		}
		var b bytes.Buffer
		if _, err := ins.WithReference("").Marshal(&b, binary.LittleEndian); err != nil {
			t.Fatal(err)
		}
		found[int32(binary.LittleEndian.Uint32(b.Bytes()[4:]))]++
	}
	const add, xchg, cmpxchg = 0x00, 0xe0 | 0x01, 0xf0 | 0x01
	if len(found) != 3 || found[add] != 1 || found[xchg] != 2 || found[cmpxchg] != claimTries {
		t.Errorf("atomic operations by their immediates: %v", found)
	}
}
