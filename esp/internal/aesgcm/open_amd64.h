// The body of an opening function, between the hash of the additional data and its return: see
// seal_amd64.h. LAST_PART is OPEN_PART or OPEN_PART_IN_PLACE. At the end T0 is 0 (authentic) or 1
// (forged).

	CMPQ LEFT, $CHUNK_LEN
	JGT chunks
	TAIL_POWER
	LEAQ -16(POW), T0
	JMP tail

chunks:
	VMOVDQA ACC, BLK
	TIMES_H
	OPEN_LONG
	LEAQ -1(LEFT), CHUNKS
	SHRQ $CHUNK_SHIFT, CHUNKS
	PCALIGN $32

chunk: // decrypts and hashes a chunk: all of it is read before any of it is written
	CHUNK(IN, lastOfChunk)
	DECQ CHUNKS
	JNE chunk

hashed:
	TAIL_POWER
	MOVQ POW, T0

tail:
	LENGTHS
	TAIL_BEGIN
	OPEN_REGISTER(S1)
	OPEN_REGISTER(S2)
	OPEN_REGISTER(S3)
	OPEN_REGISTER(S4)
	OPEN_REGISTER(S5)
	OPEN_REGISTER(S6)
	OPEN_REGISTER(S7)
	OPEN_REGISTER(S7)

single:
	OPEN_SINGLE

part:
	LAST_PART

tag: // all bits are compared, even after a difference
	REDUCE(BLKX)
	VPSHUFB swap<>(SB), BLKX, BLKX
	VPXOR MASKX, BLKX, BLKX
	VPXOR S1X, BLKX, BLKX
	XORL T0, T0
	VPTEST BLKX, BLKX
	SETNE T0
