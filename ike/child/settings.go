package child

import (
	"time"

	"culvert/esp"
	"culvert/ike/wire"
	"culvert/selector"
)

// Settings are one configured [[peer.child]] (with IKE; manual keys never reach the engine).
type Settings struct {
	Name          string
	Local, Remote []selector.Selector
	Proposals     []wire.Proposal // ESP; a proposal with a TransformKE asks for PFS at CREATE_CHILD_SA
	Start         StartMode
	Lifetime      time.Duration // soft; the hard one comes a tenth later
	Limits        esp.Limits
	ReplayWindow  int
}

// StartMode is [[peer.child]] start.
type StartMode uint8

// Values of StartMode.
const (
	StartTraffic StartMode = iota
	StartBoot
	StartNever
)
