package tun

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// A conn is a netlink socket for requests about rules, routes and addresses. It is not safe for
// concurrent use.
//
// It sends changes in batches, which the library that the rest of this package uses cannot do;
// 100,000 routes take a tenth of the time.
type conn struct {
	fd     int
	port   uint32 // the socket's netlink address
	seq    uint32
	strict bool          // the kernel filters lists by the request
	out    []byte        // requests
	in     []byte        // answers
	list   []kernelRoute // space for the next list
}

const (
	// batch is the number of changes in one request. The receive buffer has space for an error of
	// each.
	batch = 256
	// receiveRoom is the size of the sockets' receive buffers.
	receiveRoom = 4 << 20
	// maxKept is the capacity of the longest list whose space is kept for the next.
	maxKept = 16 << 10
	// answerTime is the longest wait for an answer of the kernel.
	answerTime = 30 // seconds
	// A dump during which the list changes is repeated at least leastDumps times and for dumpTime.
	// A short list eventually arrives whole, however fast it changes.
	leastDumps = 20
	dumpTime   = 2 * time.Second
)

// errInterrupted is the error of a list that changed during each dump.
var errInterrupted = errors.New("the list changes faster than the kernel can dump it")

// dial opens a socket in the calling thread's network namespace.
func dial() (*conn, error) {
	fd, port, err := netlinkSocket(0)
	if err != nil {
		return nil, err
	}
	c := &conn{fd: fd, port: port, in: make([]byte, 64<<10)}
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_EXT_ACK, 1) // errors with a text
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1) // without the request
	c.strict = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_GET_STRICT_CHK, 1) == nil
	_ = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: answerTime})
	return c, nil
}

// netlinkSocket opens a netlink socket and returns it with its address.
func netlinkSocket(flags int) (fd int, port uint32, err error) {
	fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|flags, unix.NETLINK_ROUTE)
	if err != nil {
		return -1, 0, fmt.Errorf("tun: opening a netlink socket: %w", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err == nil {
		var sa unix.Sockaddr
		if sa, err = unix.Getsockname(fd); err == nil {
			port = sa.(*unix.SockaddrNetlink).Pid
		}
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("tun: binding a netlink socket: %w", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveRoom) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveRoom)
	}
	return fd, port, nil
}

func (c *conn) close() { unix.Close(c.fd) }

// change requests n changes. encode appends the i-th request, from its header on; failed is called
// for each refusal. After an error of the socket it is not known how much was done.
func (c *conn) change(n int, encode func(b []byte, i int) []byte, failed func(i int, err error)) error {
	for i := 0; i < n; i += batch {
		if err := c.changeSome(i, min(i+batch, n), encode, failed); err != nil {
			return fmt.Errorf("tun: changing routes: %w", err)
		}
	}
	return nil
}

// changeSome sends the requests from first up to end in one datagram. The kernel acknowledges the
// last.
func (c *conn) changeSome(first, end int, encode func([]byte, int) []byte, failed func(int, error)) error {
	base := c.seq
	c.out = c.out[:0]
	for i := first; i < end; i++ {
		at := len(c.out)
		c.out = encode(c.out, i)
		c.seq++
		flags := uint16(unix.NLM_F_REQUEST)
		if i == end-1 {
			flags |= unix.NLM_F_ACK
		}
		complete(c.out[at:], flags, c.seq)
	}
	if err := c.send(); err != nil {
		return err
	}
	for {
		msgs, err := c.receive()
		if err != nil {
			return err
		}
		for m := range messages(msgs) {
			if m.kind != unix.NLMSG_ERROR || m.seq-base-1 >= uint32(end-first) {
				continue // the answer to an abandoned request
			}
			if err := m.err(); err != nil {
				failed(first+int(m.seq-base-1), err)
			}
			if m.seq == c.seq {
				return nil
			}
		}
	}
}

func (c *conn) send() error {
	return unix.Sendto(c.fd, c.out, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}

func (c *conn) receive() ([]byte, error) {
	for {
		n, from, err := unix.Recvfrom(c.fd, c.in, 0)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return nil, err
		}
		if sa, ok := from.(*unix.SockaddrNetlink); ok && sa.Pid == 0 { // the kernel
			return c.in[:n], nil
		}
	}
}

// dump requests a list. ask appends the request; begin is called before each attempt, and each for
// every message of the list. A list that changed during the dump is requested again.
func (c *conn) dump(ask func(b []byte) []byte, begin func(), each func(m message)) error {
	begun := time.Now()
	for n := 0; n < leastDumps || time.Since(begun) < dumpTime; n++ {
		c.out = ask(c.out[:0])
		c.seq++
		complete(c.out, unix.NLM_F_REQUEST|unix.NLM_F_DUMP, c.seq)
		if err := c.send(); err != nil {
			return err
		}
		begin()
		whole, err := c.listed(each)
		if err != nil || whole {
			return err
		}
	}
	return errInterrupted
}

// listed reads the answer to a dump, and reports whether it is consistent.
func (c *conn) listed(each func(m message)) (whole bool, err error) {
	for whole = true; ; {
		b, err := c.receive()
		if err != nil {
			return false, err
		}
		for m := range messages(b) {
			if m.seq != c.seq {
				continue
			}
			whole = whole && m.flags&unix.NLM_F_DUMP_INTR == 0
			switch m.kind {
			case unix.NLMSG_DONE:
				return whole, m.err()
			case unix.NLMSG_ERROR:
				return whole, m.err()
			}
			each(m)
		}
	}
}

// A message is a netlink message.
type message struct {
	kind, flags uint16
	seq, port   uint32
	body        []byte
}

// messages yields the messages in b up to a truncated one.
func messages(b []byte) func(yield func(message) bool) {
	return func(yield func(message) bool) {
		ne := binary.NativeEndian
		for len(b) >= unix.SizeofNlMsghdr {
			n := int(ne.Uint32(b))
			if n < unix.SizeofNlMsghdr || n > len(b) {
				return
			}
			m := message{kind: ne.Uint16(b[4:]), flags: ne.Uint16(b[6:]), seq: ne.Uint32(b[8:]), port: ne.Uint32(b[12:]), body: b[unix.SizeofNlMsghdr:n]}
			if !yield(m) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

// err returns the error in an acknowledgement, nil for success.
func (m message) err() error {
	if len(m.body) < 4 {
		return nil
	}
	errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.body)))
	if errno == 0 {
		return nil
	}
	if m.kind == unix.NLMSG_ERROR && m.flags&unix.NLM_F_ACK_TLVS != 0 && m.flags&unix.NLM_F_CAPPED != 0 {
		for kind, v := range attributes(m.body[min(4+unix.SizeofNlMsghdr, len(m.body)):]) {
			if kind == unix.NLMSGERR_ATTR_MSG && len(v) > 1 {
				return fmt.Errorf("%w (%s)", errno, v[:len(v)-1])
			}
		}
	}
	return errno
}

// attributes yields the attributes in b.
func attributes(b []byte) func(yield func(kind uint16, v []byte) bool) {
	return func(yield func(uint16, []byte) bool) {
		for len(b) >= unix.SizeofNlAttr {
			n := int(binary.NativeEndian.Uint16(b))
			if n < unix.SizeofNlAttr || n > len(b) {
				return
			}
			if !yield(binary.NativeEndian.Uint16(b[2:])&^unix.NLA_F_NESTED, b[unix.SizeofNlAttr:n]) {
				return
			}
			b = b[min(align(n), len(b)):]
		}
	}
}

func align(n int) int { return (n + 3) &^ 3 }

// header appends a message's header and its fixed part. complete sets the remaining fields.
func header(b []byte, kind, flags uint16, fixed ...byte) []byte {
	b = append(b, make([]byte, unix.SizeofNlMsghdr)...)
	h := b[len(b)-unix.SizeofNlMsghdr:]
	binary.NativeEndian.PutUint16(h[4:], kind)
	binary.NativeEndian.PutUint16(h[6:], flags)
	return append(b, fixed...)
}

// complete sets the length, the flags and the sequence number of a message.
func complete(b []byte, flags uint16, seq uint32) {
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	binary.NativeEndian.PutUint16(b[6:], binary.NativeEndian.Uint16(b[6:])|flags)
	binary.NativeEndian.PutUint32(b[8:], seq)
}

// attribute appends an attribute.
func attribute(b []byte, kind uint16, v []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(unix.SizeofNlAttr+len(v)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	b = append(b, v...)
	for len(b)%4 != 0 {
		b = append(b, 0)
	}
	return b
}

// attribute32 appends an attribute of a number.
func attribute32(b []byte, kind uint16, v uint32) []byte {
	b = binary.NativeEndian.AppendUint16(b, unix.SizeofNlAttr+4)
	b = binary.NativeEndian.AppendUint16(b, kind)
	return binary.NativeEndian.AppendUint32(b, v)
}

// attributeAddr appends an attribute of an address, 4 or 16 octets.
func attributeAddr(b []byte, kind uint16, a netip.Addr) []byte {
	if a.Is4() {
		v := a.As4()
		return attribute(b, kind, v[:])
	}
	v := a.As16()
	return attribute(b, kind, v[:])
}
