package guard

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is a netlink socket of netfilter's, bound in the network namespace of the thread that
// opened it. It is not safe for concurrent use.
//
// The library's own connection asks for an answer to each message, and its encoding of an element
// allocates a dozen times: with 100,000 networks the answers overflow a receive buffer.
type socket struct {
	fd   int
	port uint32 // ours, by which the kernel tells others who changed something
	seq  uint32
	room int // of the send buffer
	buf  []byte
}

const (
	minRoom = 200 << 10
	// receiveRoom holds what a dump has under way, and the notices of another's change.
	receiveRoom = 4 << 20
)

var errNoNftables = errors.New("the kernel has no nftables: load the module nf_tables, or use a kernel with CONFIG_NF_TABLES and CONFIG_NF_TABLES_INET")

func openSocket() (*socket, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil, errNoNftables
	}
	if err != nil {
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	s := &socket{fd: fd, room: minRoom, buf: make([]byte, 64<<10)}
	if err := s.bind(); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("opening a netlink socket: %w", err)
	}
	return s, nil
}

func (s *socket) bind() error {
	if err := unix.Bind(s.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	name, err := unix.Getsockname(s.fd)
	if err != nil {
		return err
	}
	s.port = name.(*unix.SockaddrNetlink).Pid
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveRoom) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveRoom)
	}
	// An error need not repeat the message that it is about, and may say more than a number.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	return nil
}

func (s *socket) close() { unix.Close(s.fd) }

// makeRoom has the send buffer take a message of n octets. Without CAP_NET_ADMIN over the whole
// machine, as in some containers, the kernel bounds it.
func (s *socket) makeRoom(n int) {
	if n += 4096; n <= s.room {
		return
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, n) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, n)
	}
	s.room = n
}

// commit sends a batch, which the kernel takes as a whole or not at all.
func (s *socket) commit(b *batch) error {
	first := s.seq + 1
	raw, last := b.finish(first)
	s.seq = last
	s.makeRoom(len(raw))
	s.drain()
	if err := unix.Sendto(s.fd, raw, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		if errors.Is(err, unix.EMSGSIZE) {
			return fmt.Errorf("the kernel takes no message of %d octets from us: raise the sysctl net.core.wmem_max to %d", len(raw), 2*len(raw))
		}
		return remedy(err)
	}
	// The kernel has handled all of it, and has answered, when the call returns.
	var failed error
	for {
		messages, err := s.receive()
		if errors.Is(err, unix.EAGAIN) {
			if failed == nil {
				failed = errors.New("the kernel did not answer")
			}
			return failed
		}
		if err != nil {
			return remedy(err)
		}
		for _, m := range messages {
			if m.Header.Type != unix.NLMSG_ERROR || m.Header.Seq < first || m.Header.Seq > last {
				continue
			}
			errno, text := parseError(m.Data)
			if errno != 0 && failed == nil {
				failed = remedy(b.explain(m.Header.Seq-first, errno, text))
			}
			if m.Header.Seq == last-1 { // the last that may be answered; the end of the batch is not
				return failed
			}
		}
	}
}

// dump sends a request that has many answers, and calls f with each.
func (s *socket) dump(b *batch, f func(typ uint16, data []byte)) error {
	s.seq++
	s.drain()
	if err := unix.Sendto(s.fd, b.request(s.seq), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return remedy(err)
	}
	for {
		messages, err := s.receive()
		if err != nil {
			return remedy(err)
		}
		for _, m := range messages {
			switch {
			case m.Header.Seq != s.seq:
			case m.Header.Type == unix.NLMSG_DONE:
				return nil
			case m.Header.Type == unix.NLMSG_ERROR:
				if errno, _ := parseError(m.Data); errno != 0 {
					return remedy(errno)
				}
				return nil
			case m.Header.Flags&unix.NLM_F_DUMP_INTR != 0:
				return errInterrupted
			default:
				f(m.Header.Type, m.Data)
			}
		}
	}
}

// errInterrupted: the table changed during a dump.
var errInterrupted = errors.New("the tables changed meanwhile")

// receive returns what one datagram brought; EAGAIN if there is none.
func (s *socket) receive() ([]syscall.NetlinkMessage, error) {
	n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
	if err != nil {
		return nil, err
	}
	return syscall.ParseNetlinkMessage(s.buf[:n])
}

// drain throws away what an earlier call has left.
func (s *socket) drain() {
	for {
		if _, _, err := unix.Recvfrom(s.fd, s.buf, 0); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// remedy adds to an error what can be done about it.
func remedy(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: it takes CAP_NET_ADMIN", os.ErrPermission)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: load the modules nf_tables and nft_fib_inet, or use a kernel with CONFIG_NF_TABLES_INET and CONFIG_NFT_FIB_INET", err)
	}
	return err
}
