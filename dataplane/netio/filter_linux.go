package netio

import (
	"fmt"
	"syscall"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"culvert/tun/cbpf"
)

// On the NAT port, ESP goes to the worker that WorkerOf names. Everything else goes to the control
// plane's own socket, which thus has a receive buffer that ESP cannot fill. Of the raw sockets of a
// listen address one receives: each further one would cost a copy of every packet.

// steerUDP makes the kernel choose among the sockets bound to fd's address and port, in the order
// of their binding: the workers' sockets, then the control plane's. The program sees the UDP
// payload, of datagrams that UDP_GRO has coalesced the first one's. It never chooses a socket bound
// later, which can send and never receives.
func steerUDP(fd, workers int) error {
	control := bpf.RetConstant{Val: uint32(workers)}
	return attach(fd, unix.SO_ATTACH_REUSEPORT_CBPF, []bpf.Instruction{
		bpf.LoadExtension{Num: bpf.ExtLen},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: spiLen, SkipTrue: 5}, // a keepalive
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 0, SkipTrue: 3}, // the non-ESP marker
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: steerShift},
		bpf.ALUOpConstant{Op: bpf.ALUOpMod, Val: uint32(workers)},
		bpf.RetA{},
		control,
	})
}

// takeNothing lets no packet into the socket fd.
func takeNothing(fd int) error {
	return attach(fd, unix.SO_ATTACH_FILTER, []bpf.Instruction{bpf.RetConstant{Val: 0}})
}

func attach(fd, option int, prog []bpf.Instruction) error {
	if err := cbpf.Attach(fd, option, prog); err != nil {
		return fmt.Errorf("netio: %w (Linux 4.5 or later has it)", err)
	}
	return nil
}

// filterICMP lets only errors that parseTooBig and parseUnreachable may read, about UDP or IP
// protocol 50, into a raw ICMP socket. The filter sees IPv4 packets from the IP header on and
// ICMPv6 from its own header on.
func filterICMP(c syscall.RawConn, v6 bool) error {
	prog := []bpf.Instruction{
		bpf.LoadMemShift{Off: 0},
		bpf.LoadIndirect{Off: 0, Size: 1}, // type
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: icmpUnreachable, SkipTrue: 4},
		bpf.LoadIndirect{Off: icmpQuoteAt + 9, Size: 1},
	}
	if v6 {
		prog = []bpf.Instruction{
			bpf.LoadAbsolute{Off: 0, Size: 1},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmp6Unreachable, SkipTrue: 2},
			bpf.JumpIf{Cond: bpf.JumpEqual, Val: icmp6TooBig, SkipTrue: 1},
			bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: icmp6Parameter, SkipTrue: 4},
			bpf.LoadAbsolute{Off: icmpQuoteAt + 6, Size: 1},
		}
	}
	prog = append(prog,
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protoESP, SkipTrue: 1},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: protoUDP, SkipTrue: 1},
		bpf.RetConstant{Val: 0xffffffff},
		bpf.RetConstant{Val: 0},
	)
	var err error
	if cerr := c.Control(func(fd uintptr) { err = attach(int(fd), unix.SO_ATTACH_FILTER, prog) }); cerr != nil {
		return cerr
	}
	return err
}
