// Package cbpf attaches classic BPF programs to sockets, which decide what the sockets receive or,
// of several at one port, which of them does. It lies below `tun` and `dataplane`.
package cbpf
