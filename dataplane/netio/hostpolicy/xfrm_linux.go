package hostpolicy

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// errKernelIPsec is a policy of the kernel's own IPsec, which may be about ESP packets as about
// all others.
var errKernelIPsec = errors.New("the kernel has IPsec policies (ip xfrm policy)")

// Messages of XFRM (linux/xfrm.h).
const (
	xfrmGetSPDInfo = 0x25
	xfrmGetDefault = 0x28
	xfrmaSPDInfo   = 1
	xfrmBlock      = 1 // XFRM_USERPOLICY_BLOCK
)

// A word is a message of 32 bits.
type word uint32

func (w word) Len() int          { return 4 }
func (w word) Serialize() []byte { return binary.NativeEndian.AppendUint32(nil, uint32(w)) }

// kernelIPsec returns an error if the kernel has IPsec policies, of its own or by default.
func kernelIPsec() error {
	answer, err := xfrm(xfrmGetSPDInfo)
	if errors.Is(err, unix.EPROTONOSUPPORT) || errors.Is(err, unix.EAFNOSUPPORT) {
		return nil // the kernel has no IPsec
	}
	if err == nil && len(answer) < 4 {
		err = unix.EBADMSG
	}
	if err != nil {
		return fmt.Errorf("asking for IPsec policies of the kernel: %w", err)
	}
	for kind, v := range attributes(answer[4:]) {
		if kind == xfrmaSPDInfo && len(v) >= 8 && (binary.NativeEndian.Uint32(v) > 0 || binary.NativeEndian.Uint32(v[4:]) > 0) {
			return errKernelIPsec // inbound or outbound ones
		}
	}
	// Linux 5.14: before that there is nothing to ask for.
	if byDefault, err := xfrm(xfrmGetDefault); err == nil && len(byDefault) >= 3 && (byDefault[0] == xfrmBlock || byDefault[2] == xfrmBlock) {
		return errKernelIPsec
	}
	return nil
}

// xfrm asks a question and returns its answer.
func xfrm(kind int) ([]byte, error) {
	req := nl.NewNetlinkRequest(kind, 0)
	req.AddData(word(0))
	list, err := req.Execute(unix.NETLINK_XFRM, 0)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	return list[0], nil
}
