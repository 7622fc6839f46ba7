package ike

func (Datagram) isInput()         {}
func (Wake) isInput()             {}
func (Connect) isInput()          {}
func (Disconnect) isInput()       {}
func (Rekey) isInput()            {}
func (Acquire) isInput()          {}
func (Expire) isInput()           {}
func (Traffic) isInput()          {}
func (PeerMoved) isInput()        {}
func (AddressesChanged) isInput() {}
func (SourceGone) isInput()       {}
func (Computed) isInput()         {}
func (SetPeers) isInput()         {}
func (ChangePeers) isInput()      {}
func (Shutdown) isInput()         {}

func (Send) isEffect()               {}
func (Compute) isEffect()            {}
func (InstallInbound) isEffect()     {}
func (ActivateOutbound) isEffect()   {}
func (DeactivateOutbound) isEffect() {}
func (RemoveSA) isEffect()           {}
func (SetEndpoint) isEffect()        {}
func (NeedTraffic) isEffect()        {}
func (AcquireFailed) isEffect()      {}
func (Resolve) isEffect()            {}
func (Notice) isEffect()             {}
func (Done) isEffect()               {}
func (Stopped) isEffect()            {}
