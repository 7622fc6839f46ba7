package guard

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// A socket is a netlink socket of netfilter, in the network namespace of the thread that opened it.
// It is not safe for concurrent use.
//
// The connection of the nftables library asks for an acknowledgement of each message, which with
// 100,000 networks overflows the receive buffer, and it allocates a dozen times for each element.
type socket struct {
	fd   int
	port uint32 // our netlink port, which the kernel puts into notices of our changes
	seq  uint32
	room int // size of the send buffer
	buf  []byte
}

const (
	minRoom = 200 << 10
	// receiveRoom is the size of the receive buffer: for answers to a dump, and for notices.
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
	// Ask for errors without a copy of the message, and with a text.
	_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	_ = unix.SetsockoptInt(s.fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1)
	return nil
}

func (s *socket) close() { unix.Close(s.fd) }

// makeRoom enlarges the send buffer for a message of n octets. Without CAP_NET_ADMIN in the initial
// user namespace, as in some containers, the kernel limits it.
func (s *socket) makeRoom(n int) {
	if n += 4096; n <= s.room {
		return
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, n) != nil {
		_ = unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, n)
	}
	s.room = n
}

// commit sends a batch. The kernel applies all of it or nothing.
func (s *socket) commit(b *batch) error {
	first := s.seq + 1
	raw, last := b.finish(first)
	s.seq = last
	s.makeRoom(len(raw))
	s.drain()
	if err := unix.Sendto(s.fd, raw, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		if errors.Is(err, unix.EMSGSIZE) {
			return fmt.Errorf("a netlink message of %d octets is larger than the send buffer may be: raise the sysctl net.core.wmem_max to %d", len(raw), 2*len(raw))
		}
		return remedy(err)
	}
	// The kernel handles and answers the batch before the call returns.
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
			if m.Header.Seq == last-1 { // the last one with an answer; the end of the batch has none
				return failed
			}
		}
	}
}

// dump sends a request and calls f with each of its answers. It returns errInterrupted if a change
// made the dump inconsistent.
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

// errInterrupted is the error of a dump during which the tables changed.
var errInterrupted = errors.New("the tables changed during the dump")

// receive returns the messages of one datagram, or EAGAIN if there is none.
func (s *socket) receive() ([]syscall.NetlinkMessage, error) {
	n, _, err := unix.Recvfrom(s.fd, s.buf, 0)
	if err != nil {
		return nil, err
	}
	return syscall.ParseNetlinkMessage(s.buf[:n])
}

// drain discards answers that an earlier call left unread.
func (s *socket) drain() {
	for {
		if _, _, err := unix.Recvfrom(s.fd, s.buf, 0); err != nil && !errors.Is(err, unix.ENOBUFS) {
			return
		}
	}
}

// remedy adds the remedy to an error.
func remedy(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: CAP_NET_ADMIN is required", os.ErrPermission)
	case errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.EAFNOSUPPORT):
		return fmt.Errorf("%w: load the modules nf_tables and nft_fib_inet, or use a kernel with CONFIG_NF_TABLES_INET and CONFIG_NFT_FIB_INET", err)
	}
	return err
}
