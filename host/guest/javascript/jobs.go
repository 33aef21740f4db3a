package javascript

import (
	"context"

	"github.com/tetratelabs/wazero/api"
)

// rejection is a promise that was rejected, and that nobody has handled so far. Both are values of the guest.
type rejection struct {
	promise, reason uint32
	nth             int
}

// maxRejections is far above what programs have that wait for many promises at once.
const maxRejections = 1 << 16

// rejected is (promise, reason, is it handled now). Both values belong to the host from now on.
func rejected(ctx context.Context, _ api.Module, stack []uint64) {
	_, in := enter(ctx)
	if err := in.note(ctx, rejection{promise: uint32(stack[0]), reason: uint32(stack[1])}, uint32(stack[2]) != 0); err != nil {
		panic(err)
	}
	in.inside = 0
}

func (in *Instance) note(ctx context.Context, r rejection, handled bool) error {
	id, err := in.call(ctx, fnIdentity, uint64(r.promise))
	if err != nil {
		return err
	}
	if !handled && len(in.rejections) < maxRejections {
		if in.rejections == nil {
			in.rejections = map[uint32]rejection{}
		}
		in.rejected++
		r.nth = in.rejected
		in.rejections[uint32(id)] = r
		return nil
	}
	if err := in.drop(ctx, r); err != nil || !handled {
		return err
	}
	before, ok := in.rejections[uint32(id)]
	if !ok {
		return nil
	}
	delete(in.rejections, uint32(id))
	return in.drop(ctx, before)
}

// drop frees the values of a rejection.
func (in *Instance) drop(ctx context.Context, r rejection) error {
	if _, err := in.call(ctx, fnFreeValue, uint64(r.promise)); err != nil {
		return err
	}
	_, err := in.call(ctx, fnFreeValue, uint64(r.reason))
	return err
}

// finish does all jobs that are left. What they throw, and what a promise that nobody handles was rejected with, is in
// in.thrown.
func (in *Instance) finish(ctx context.Context) error {
	if err := in.jobs(ctx); err != nil || len(in.rejections) == 0 {
		return err
	}
	first := rejection{nth: in.rejected + 1}
	for _, r := range in.rejections {
		if r.nth < first.nth {
			first = r
		}
	}
	return in.explain(ctx, first.reason)
}

// invoke calls a function of the guest. Its result is a new value, 0 if it threw.
func (in *Instance) invoke(ctx context.Context, f uint32, args ...uint32) (uint32, error) {
	undefined, ok := in.word(in.root + rootUndefined)
	argv := in.root + rootArgv
	for i, arg := range args {
		ok = ok && in.setWord(argv+uint32(i)*wordBytes, arg)
	}
	if !ok {
		return 0, ErrCorrupt
	}
	v, err := in.call(ctx, fnCall, uint64(f), uint64(undefined), uint64(len(args)), uint64(argv))
	if err != nil {
		return 0, err
	}
	return in.value(ctx, uint32(v))
}

// value is v, or 0 if it stands for an exception, which then is in in.thrown.
func (in *Instance) value(ctx context.Context, v uint32) (uint32, error) {
	is, err := in.call(ctx, fnIsException, uint64(v))
	if err != nil || uint32(is) == 0 {
		return v, err
	}
	return 0, in.exception(ctx)
}

// exception explains what the guest has just thrown.
func (in *Instance) exception(ctx context.Context) error {
	e, err := in.call(ctx, fnException)
	if err != nil {
		return err
	}
	return in.explain(ctx, uint32(e))
}

// explain has the guest say what a thrown value is.
func (in *Instance) explain(ctx context.Context, thrown uint32) error {
	if in.thrown != nil || in.explaining {
		return nil
	}
	explain, ok := in.word(in.root + rootExplain)
	if !ok {
		return ErrCorrupt
	}
	in.explaining = true
	defer func() { in.explaining = false }()
	if explain != 0 {
		if _, err := in.invoke(ctx, explain, thrown); err != nil {
			return err
		}
	}
	if in.thrown == nil {
		in.thrown = &Exception{Message: "an exception that cannot be shown"}
	}
	return nil
}

// jobs does what promises have left to do, until nothing is.
func (in *Instance) jobs(ctx context.Context) error {
	for {
		did, err := in.call(ctx, fnJob)
		if err != nil {
			return err
		}
		switch n := int32(uint32(did)); {
		case n == 0:
			return nil
		case n < 0:
			if err := in.exception(ctx); err != nil {
				return err
			}
		}
	}
}
