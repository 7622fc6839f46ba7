package control

import (
	"context"
	"fmt"
	"net"
	"os/user"
	"strconv"
)

// callers is a listener whose connections tell, by their remote address, which user made them.
type callers struct{ net.Listener }

func (l callers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &callerConn{c, callerAddr{c.RemoteAddr(), userOf(c)}}, nil
}

// callerConn is a connection whose remote address is a callerAddr.
type callerConn struct {
	net.Conn
	from callerAddr
}

func (c *callerConn) RemoteAddr() net.Addr { return c.from }

// callerAddr is the remote address of a connection, with the user at the other end.
type callerAddr struct {
	net.Addr
	user string
}

// userOf returns the user at the other end of a Unix socket, as the kernel knows it: the name, or
// "uid N" for a user without one; "unknown" where the system does not tell.
func userOf(c net.Conn) string {
	u, ok := c.(*net.UnixConn)
	if !ok {
		return "unknown"
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return "unknown"
	}
	uid, known := uint32(0), false
	if err := raw.Control(func(fd uintptr) { uid, known = peerUID(int(fd)) }); err != nil || !known {
		return "unknown"
	}
	id := strconv.FormatUint(uint64(uid), 10)
	if found, err := user.LookupId(id); err == nil && found.Username != "" {
		return found.Username
	}
	return fmt.Sprintf("uid %s", id)
}

// callerKey is the key of the caller's name in the context of a request.
type callerKey struct{}

// withCaller adds the name of the user at the other end of a connection to its context.
func withCaller(ctx context.Context, c net.Conn) context.Context {
	if a, ok := c.RemoteAddr().(callerAddr); ok {
		return context.WithValue(ctx, callerKey{}, a.user)
	}
	return ctx
}

// caller returns the name of the user who made a request.
func caller(ctx context.Context) string {
	if name, ok := ctx.Value(callerKey{}).(string); ok {
		return name
	}
	return "unknown"
}
