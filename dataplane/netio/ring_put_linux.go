package netio

import "github.com/cilium/ebpf/asm"

// claim tries to claim the next slot, and goes on at "claimed" with the slot in R1.
func claim(try int) asm.Instructions {
	again := "claim" + string(rune('0'+try))
	p := asm.Instructions{
		asm.LoadMem(asm.R1, asm.R10, stackHead, asm.DWord),
		asm.LoadMem(asm.R2, asm.R1, ringHead, asm.DWord),
		asm.StoreMem(asm.R10, stackNumber, asm.R2, asm.DWord),
		asm.And.Imm(asm.R2, ringSlots-1),
		asm.Add.Imm(asm.R2, 1),
		asm.StoreMem(asm.R10, stackKey, asm.R2, asm.Word),
		asm.Mov.Reg(asm.R1, asm.R7),
	}
	p = append(p, find(stackKey, "pass")...)
	return append(p,
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.LoadMem(asm.R2, asm.R10, stackNumber, asm.DWord),
		asm.LoadMem(asm.R3, asm.R1, slotNumber, asm.DWord),
		asm.Sub.Reg(asm.R3, asm.R2),
		asm.JSLT.Imm(asm.R3, 0, "full"),
		asm.JNE.Imm(asm.R3, 0, again),
		asm.LoadMem(asm.R4, asm.R10, stackHead, asm.DWord),
		asm.Mov.Reg(asm.R5, asm.R2),
		asm.Add.Imm(asm.R5, 1),
		asm.Mov.Reg(asm.R0, asm.R2),
		atomicOp(asm.CmpXchg, asm.R4, asm.R5, ringHead),
		asm.JEq.Reg(asm.R0, asm.R2, "claimed"),
		asm.Mov.Imm(asm.R0, 0).WithSymbol(again),
	)
}

// atomicOp is op.Mem with the operation where the kernel reads it: version 0.22.0 of the assembler
// writes the instruction's Constant there, and takes the operation for it only after that.
func atomicOp(op asm.AtomicOp, dst, src asm.Register, offset int16) asm.Instruction {
	ins := op.Mem(dst, src, asm.DWord, offset)
	ins.Constant = int64(op >> 8)
	return ins
}

// fill copies the packet into the slot in R1 and publishes it.
func fill() asm.Instructions {
	p := asm.Instructions{
		asm.StoreMem(asm.R10, stackSlot, asm.R1, asm.DWord).WithSymbol("claimed"),
		asm.StoreMem(asm.R1, slotLen, asm.R8, asm.Word),
		asm.LoadMem(asm.R2, asm.R10, stackTOS, asm.DWord),
		asm.StoreMem(asm.R1, slotTOS, asm.R2, asm.Byte),
	}
	for i := int16(0); i < 16; i += 8 {
		p = append(p,
			asm.LoadMem(asm.R2, asm.R10, stackSrc+i, asm.DWord),
			asm.StoreMem(asm.R1, slotSrc+i, asm.R2, asm.DWord),
			asm.LoadMem(asm.R2, asm.R10, stackDst+i, asm.DWord),
			asm.StoreMem(asm.R1, slotDst+i, asm.R2, asm.DWord),
		)
	}
	return append(p,
		asm.Mov.Reg(asm.R3, asm.R1),
		asm.Add.Imm(asm.R3, slotData),
		asm.Mov.Reg(asm.R1, asm.R6),
		asm.Mov.Reg(asm.R2, asm.R9),
		asm.Mov.Reg(asm.R4, asm.R8),
		asm.FnSkbLoadBytes.Call(),
		asm.LoadMem(asm.R1, asm.R10, stackSlot, asm.DWord),
		asm.JEq.Imm(asm.R0, 0, "whole"),
		asm.Mov.Imm(asm.R2, 0), // an empty one is counted as too short
		asm.StoreMem(asm.R1, slotLen, asm.R2, asm.Word),
		asm.LoadMem(asm.R2, asm.R10, stackNumber, asm.DWord).WithSymbol("whole"),
		asm.Add.Imm(asm.R2, 1),
		atomicOp(asm.Xchg, asm.R1, asm.R2, slotNumber),
	)
}

// ringBell wakes the worker if it dozes.
func ringBell(m ringMaps) asm.Instructions {
	p := asm.Instructions{
		asm.LoadMem(asm.R1, asm.R10, stackHead, asm.DWord),
		asm.Mov.Imm(asm.R2, 1),
		atomicOp(asm.Xchg, asm.R1, asm.R2, ringAwake),
		asm.JNE.Imm(asm.R2, 0, "taken"),
		asm.LoadMapPtr(asm.R1, m.bells),
	}
	p = append(p, find(stackWorker, "taken")...)
	return append(p,
		asm.Mov.Reg(asm.R1, asm.R0),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, stackNumber),
		asm.Mov.Imm(asm.R3, 8),
		asm.Mov.Imm(asm.R4, ringbufWakeup),
		asm.FnRingbufOutput.Call(),
		asm.Ja.Label("taken"),
	)
}
