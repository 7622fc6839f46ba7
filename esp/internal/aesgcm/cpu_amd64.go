package aesgcm

// cpuid is the instruction. golang.org/x/sys/cpu tells of VAES and VPCLMULQDQ only together with AVX-512.
func cpuid(leaf, subleaf uint32) (eax, ebx, ecx, edx uint32)

// xgetbv is the low half of XCR0: which registers the operating system saves. The processor must have OSXSAVE.
func xgetbv() (eax uint32)

// What the kernel needs: Intel's Software Developer's Manual, Volume 2, CPUID.
const (
	leaf1ECX = 1<<1 | 1<<9 | 1<<19 | 1<<25 | 1<<27 | 1<<28 // PCLMULQDQ, SSSE3, SSE4.1, AES-NI, OSXSAVE, AVX
	leaf7EBX = 1<<5 | 1<<8                                 // AVX2, BMI2
	leaf7ECX = 1<<9 | 1<<10                                // VAES, VPCLMULQDQ
	xcr0     = 1<<1 | 1<<2                                 // XMM and the high halves of YMM
)

// supported says whether processor and operating system have what the kernel needs.
func supported() bool {
	leaves, _, _, _ := cpuid(0, 0)
	if leaves < 7 {
		return false
	}
	if _, _, ecx, _ := cpuid(1, 0); ecx&leaf1ECX != leaf1ECX {
		return false
	}
	if xgetbv()&xcr0 != xcr0 {
		return false
	}
	_, ebx, ecx, _ := cpuid(7, 0)
	return ebx&leaf7EBX == leaf7EBX && ecx&leaf7ECX == leaf7ECX
}
