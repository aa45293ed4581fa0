/* SPDX-License-Identifier: MIT */
/*
 * Does an interrupt that waits at a vCPU always reach it once its REQ_KICK is set? The protocol between who sets that
 * (request(), sched_tell() in vmm/sched.c) and the CPU that the vCPU is at home with (vmm/run.c, sched_block() and
 * sched_idle()), with the atomic steps that these have. The vCPU is halted whenever it has nothing to do, or runs and is
 * not looked at before an IPI makes it exit. Descriptors are in posted.pml. Checked by spin for all orders of steps; see
 * tests/lab/test_models.py.
 *
 * With one of these defined there is a mistake in it, and the check has to fail:
 * FORGET_KICK   sched_block() does not look at requests
 * LATE_BLOCKED  it looks before it says that the vCPU is blocked
 * LATE_IRR      the interrupt is there only after the request
 * LATE_POLLING  who asks relies on a CPU that polled before the request
 * ENTER_KICKED  the guest is entered for good with REQ_KICK set by its own CPU
 */
#define POSTERS 2

mtype = { QUEUED, RUNNING, BLOCKED };

mtype sched = BLOCKED;
bit queued = 0;  /* in its home's queue */
bit irr = 0;     /* an interrupt waits to be seen */
bit kick = 0;    /* REQ_KICK */
bit ipi = 0;     /* pending at the CPU, whose interrupts are off but in its guest and in its halt */
bit polling = 0; /* the CPU looks at requests in a loop: no IPI is needed */
bit lock = 0;

inline take_lock() { atomic { !lock -> lock = 1 } }
inline drop_lock() { lock = 0 }

active proctype cpu()
{
pick:
    take_lock();
    if
    :: queued -> queued = 0; sched = RUNNING; drop_lock(); goto look
    :: else -> drop_lock()
    fi;
    /* sched_idle(): interrupts are off until the halt, which a pending one ends at once. */
    if
    :: queued -> goto pick
    :: else
    fi;
    ipi -> ipi = 0;
    goto pick;

look: /* prepare(): requests are taken before anything is looked at */
    kick = 0;
    if
    :: irr -> irr = 0; goto look /* delivered; the guest's handler halts again, or the next one waits */
    :: else
    fi;
    /* Its own CPU may ask for another look, and need not tell itself. */
    if
    :: kick = 1
    :: true
    fi;
    if
    :: goto guest /* it has something to do */
    :: goto halted
    fi;

guest:
    if
#ifndef ENTER_KICKED
    :: kick -> goto look /* exit_at_once() */
    :: !kick             /* no exit before an IPI */
#else
    :: true
#endif
    :: goto look
    fi;
    ipi -> ipi = 0;
    goto look;

halted:
    /* halt_ends_soon(): some rounds, or none */
    polling = 1;
    do
    :: kick -> polling = 0; goto look
    :: break
    od;
    polling = 0;
    take_lock();
    /* sched_block() */
#ifdef LATE_BLOCKED
    if
    :: kick -> drop_lock(); goto look
    :: else
    fi;
    sched = BLOCKED;
#else
    sched = BLOCKED;
#ifndef FORGET_KICK
    if
    :: kick -> sched = RUNNING; drop_lock(); goto look
    :: else
    fi;
#endif
#endif
    drop_lock();
    goto pick
}

active [POSTERS] proctype poster()
{
    mtype state;
    bit had, looks;

    do
    ::
#ifndef LATE_IRR
        irr = 1;
#endif
        looks = 0;
#ifdef LATE_POLLING
        looks = polling;
#endif
        d_step { had = kick; kick = 1 };
#ifdef LATE_IRR
        irr = 1;
#endif
        state = sched;
        if
        :: had || state == QUEUED /* who has set it tells, or who has queued it; irr is seen when it is taken */
        :: !had && state == BLOCKED -> /* wake() */
            take_lock();
            state = sched;
            if
            :: state == BLOCKED -> queued = 1; sched = QUEUED
            :: else
            fi;
            drop_lock();
            if
            :: state == BLOCKED -> ipi = 1
            :: else
            fi
        :: !had && state == RUNNING ->
#ifndef LATE_POLLING
            looks = polling;
#endif
            if
            :: looks
            :: else -> ipi = 1
            fi
        fi
    :: break
    od
}

/* Nobody waits for ever. */
ltl seen { [] (irr -> <> !irr) }
