package netio

import (
	"encoding/binary"

	"github.com/cilium/ebpf/asm"
)

// Offsets in struct __sk_buff (linux/bpf.h) and in the headers.
const (
	skbLen, skbType, skbProtocol, skbVLAN = 0, 4, 16, 20

	headerEthernet = 14
	etherIPv4      = 0x0800
	etherIPv6      = 0x86dd

	tcxNext, tcxDrop = -1, 2
	ringbufWakeup    = 2 // BPF_RB_FORCE_WAKEUP
)

// The program's stack, below R10: numbers in the order of their use.
const (
	stackKey    = -4  // uint32: an index
	stackWorker = -8  // uint32
	stackHead   = -16 // the ring's first part
	stackNumber = -24 // the packet's
	stackSlot   = -32
	stackTOS    = -40
	stackSrc    = -56
	stackDst    = -72
	stackHeader = -120 // the IP header and the SPI
	stackSPI    = -128
)

const (
	claimTries   = 8       // of a slot, as other processors may claim one as well
	knownSlots   = 1 << 16 // of the table of SPIs
	leastESP     = 8       // SPI and sequence number
	lowestSPI    = 256     // RFC 4303, Section 2.1
	protoOffset4 = 9
	protoOffset6 = 6
)

// ringMaps are the descriptors of the maps that the program uses.
type ringMaps struct {
	known, ours  int // SPIs by their lower bits; our addresses
	rings, bells int // by worker
}

// ringProgram returns the program that runs for each packet that comes to a device, before the IP
// stack. It takes packets of IP protocol 50 whose SPI is live and whose destination is ours, and
// leaves everything else to who comes next: what is not for this host, fragments, options, other
// tags, what is too large, what has no ring, a wrong checksum. A packet that it takes is in the
// ring, or lost where the ring is full: if that one went by the socket, it would be overtaken. The
// verdict taken ends its way in the kernel.
//
// R6 is the packet, R7 its SPI and then the ring, R8 its length without the IP header, R9 the
// offset of its ESP header.
func ringProgram(m ringMaps, workers int, taken int32) asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R6, skbType, asm.Word),
		asm.JNE.Imm(asm.R2, 0, "pass"),
		asm.LoadMem(asm.R2, asm.R6, skbVLAN, asm.Word),
		asm.JNE.Imm(asm.R2, 0, "pass"),
		asm.LoadMem(asm.R2, asm.R6, skbProtocol, asm.Word),
		asm.JEq.Imm(asm.R2, networkConstant(etherIPv6), "ipv6"),
		asm.JNE.Imm(asm.R2, networkConstant(etherIPv4), "pass"),
	}
	p = append(p, readIPv4()...)
	p = append(p, readIPv6()...)
	p = append(p, isOurs(m)...)
	p = append(p, findRing(m, workers)...)
	p = append(p, shed()...)
	for try := range claimTries {
		p = append(p, claim(try)...)
	}
	p = append(p, asm.Ja.Label("full"))
	p = append(p, fill()...)
	p = append(p, ringBell(m)...)
	return append(p,
		asm.LoadMem(asm.R1, asm.R10, stackHead, asm.DWord).WithSymbol("full"),
		asm.Mov.Imm(asm.R2, 1),
		asm.Instruction{OpCode: asm.StoreXAddOp(asm.DWord), Dst: asm.R1, Src: asm.R2, Offset: ringFull},
		asm.Mov.Imm(asm.R0, taken).WithSymbol("taken"),
		asm.Return(),
		asm.Mov.Imm(asm.R0, tcxNext).WithSymbol("pass"),
		asm.Return(),
	)
}

// networkConstant returns n as the kernel has a field in network order.
func networkConstant(n uint16) int32 {
	return int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, n)))
}

// load reads size octets of the packet into the stack.
func load(size int32) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Imm(asm.R2, headerEthernet),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, stackHeader),
		asm.Mov.Imm(asm.R4, size),
		asm.FnSkbLoadBytes.Call(),
		asm.JNE.Imm(asm.R0, 0, "pass"),
	}
}

// header returns the instruction that reads a field of the IP header.
func header(to asm.Register, offset int16, size asm.Size) asm.Instruction {
	return asm.LoadMem(to, asm.R10, stackHeader+offset, size)
}

// readIPv4 reads an IPv4 header without options of a whole packet (RFC 791, Section 3.1).
func readIPv4() asm.Instructions {
	p := append(load(headerIPv4+spiLen),
		header(asm.R1, 0, asm.Byte),
		asm.JNE.Imm(asm.R1, 4<<4|headerIPv4/4, "pass"),
		header(asm.R1, protoOffset4, asm.Byte),
		asm.JNE.Imm(asm.R1, protoESP, "pass"),
	)
	p = append(p, sumUp()...)
	return append(p,
		header(asm.R1, 6, asm.Half),
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.And.Imm(asm.R1, moreFragments4|(moreFragments4-1)),
		asm.JNE.Imm(asm.R1, 0, "pass"),
		header(asm.R8, 2, asm.Half),
		asm.HostTo(asm.BE, asm.R8, asm.Half),
		asm.Sub.Imm(asm.R8, headerIPv4),
		asm.Mov.Imm(asm.R9, headerEthernet+headerIPv4),
		header(asm.R7, headerIPv4, asm.Word),
		header(asm.R1, 1, asm.Byte),
		asm.StoreMem(asm.R10, stackTOS, asm.R1, asm.DWord),
		// ::ffff:0:0/96 (RFC 4291, Section 2.5.5.2)
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R10, stackSrc, asm.R1, asm.DWord),
		asm.StoreMem(asm.R10, stackDst, asm.R1, asm.DWord),
		asm.StoreMem(asm.R10, stackSrc+8, asm.R1, asm.Half),
		asm.StoreMem(asm.R10, stackDst+8, asm.R1, asm.Half),
		asm.Mov.Imm(asm.R1, 0xffff),
		asm.StoreMem(asm.R10, stackSrc+10, asm.R1, asm.Half),
		asm.StoreMem(asm.R10, stackDst+10, asm.R1, asm.Half),
		header(asm.R1, 12, asm.Word),
		asm.StoreMem(asm.R10, stackSrc+12, asm.R1, asm.Word),
		header(asm.R1, 16, asm.Word),
		asm.StoreMem(asm.R10, stackDst+12, asm.R1, asm.Word),
		asm.Ja.Label("read"),
	)
}

// sumUp passes what has a wrong checksum of the IPv4 header.
func sumUp() asm.Instructions {
	p := asm.Instructions{
		asm.Mov.Imm(asm.R1, 0),
		asm.Mov.Imm(asm.R2, 0),
		asm.Mov.Reg(asm.R3, asm.R10),
		asm.Add.Imm(asm.R3, stackHeader),
		asm.Mov.Imm(asm.R4, headerIPv4),
		asm.Mov.Imm(asm.R5, 0),
		asm.FnCsumDiff.Call(),
		asm.LSh.Imm(asm.R0, 32), // the sum has 32 bits, or 16 from Linux 6.13 on
		asm.RSh.Imm(asm.R0, 32),
	}
	for range 2 {
		p = append(p,
			asm.Mov.Reg(asm.R1, asm.R0),
			asm.RSh.Imm(asm.R1, 16),
			asm.And.Imm(asm.R0, 0xffff),
			asm.Add.Reg(asm.R0, asm.R1),
		)
	}
	return append(p, asm.JNE.Imm(asm.R0, 0xffff, "pass"))
}

// readIPv6 reads an IPv6 header without extension headers (RFC 8200, Section 3).
func readIPv6() asm.Instructions {
	p := load(headerIPv6 + spiLen)
	p[0] = p[0].WithSymbol("ipv6")
	p = append(p,
		header(asm.R1, 0, asm.Byte),
		asm.RSh.Imm(asm.R1, 4),
		asm.JNE.Imm(asm.R1, 6, "pass"),
		header(asm.R1, protoOffset6, asm.Byte),
		asm.JNE.Imm(asm.R1, protoESP, "pass"),
		header(asm.R8, 4, asm.Half),
		asm.HostTo(asm.BE, asm.R8, asm.Half),
		asm.Mov.Imm(asm.R9, headerEthernet+headerIPv6),
		header(asm.R7, headerIPv6, asm.Word),
		header(asm.R1, 0, asm.Half), // version, traffic class and the begin of the flow label
		asm.HostTo(asm.BE, asm.R1, asm.Half),
		asm.RSh.Imm(asm.R1, 4),
		asm.And.Imm(asm.R1, 0xff),
		asm.StoreMem(asm.R10, stackTOS, asm.R1, asm.DWord),
	)
	for i := int16(0); i < 16; i += 8 {
		p = append(p,
			header(asm.R1, 8+i, asm.DWord),
			asm.StoreMem(asm.R10, stackSrc+i, asm.R1, asm.DWord),
			header(asm.R1, 24+i, asm.DWord),
			asm.StoreMem(asm.R10, stackDst+i, asm.R1, asm.DWord),
		)
	}
	return p
}

// isOurs passes what is too short or too large, without a live SPI, or not for an address of ours.
func isOurs(m ringMaps) asm.Instructions {
	return asm.Instructions{
		asm.HostTo(asm.BE, asm.R7, asm.Word).WithSymbol("read"),
		asm.JLT.Imm(asm.R7, lowestSPI, "pass"),
		asm.JLT.Imm(asm.R8, leastESP, "pass"),
		asm.JGT.Imm(asm.R8, ringPacket, "pass"),
		asm.LoadMem(asm.R1, asm.R6, skbLen, asm.Word),
		// Not R8 + R9: from a comparison of a sum with a constant the verifier of Linux 6.12
		// computes the bounds of R8 again, and loses them.
		asm.Mov.Reg(asm.R2, asm.R9),
		asm.Add.Reg(asm.R2, asm.R8),
		asm.JLT.Reg(asm.R1, asm.R2, "pass"),
		asm.LoadMapValue(asm.R1, m.known, 0),
		asm.Mov.Reg(asm.R2, asm.R7),
		asm.And.Imm(asm.R2, knownSlots-1),
		asm.LSh.Imm(asm.R2, 2),
		asm.Add.Reg(asm.R1, asm.R2),
		asm.LoadMem(asm.R1, asm.R1, 0, asm.Word),
		asm.JNE.Reg(asm.R1, asm.R7, "pass"),
		asm.LoadMapPtr(asm.R1, m.ours),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, stackDst),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "pass"),
	}
}

// find looks up the element of a map in R1 whose index is on the stack; without one it goes on at
// none.
func find(index int32, none string) asm.Instructions {
	return asm.Instructions{
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, index),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, none),
	}
}

// findRing finds the ring of the worker that the SPI names, and its first part.
func findRing(m ringMaps, workers int) asm.Instructions {
	p := asm.Instructions{
		asm.StoreMem(asm.R10, stackSPI, asm.R7, asm.DWord),
		asm.RSh.Imm(asm.R7, steerShift),
		asm.Mod.Imm(asm.R7, int32(workers)),
		asm.StoreMem(asm.R10, stackWorker, asm.R7, asm.Word),
		asm.LoadMapPtr(asm.R1, m.rings),
	}
	p = append(p, find(stackWorker, "pass")...)
	p = append(p,
		asm.Mov.Reg(asm.R7, asm.R0),
		asm.Mov.Imm(asm.R1, 0),
		asm.StoreMem(asm.R10, stackKey, asm.R1, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R7),
	)
	return append(append(p, find(stackKey, "pass")...),
		asm.StoreMem(asm.R10, stackHead, asm.R0, asm.DWord))
}
