/* SPDX-License-Identifier: MIT */
/*
 * Does an interrupt that is posted to a vCPU always reach it? The protocol between who posts (request() in
 * vmm/sched.c) and the CPU that the vCPU is at home with (vmm/run.c, sched_block() and sched_idle()), with the
 * atomic steps that these have. The vCPU is halted whenever it has nothing to do, or runs and is not looked at
 * before an IPI makes it exit. Posters leave out what they may: the IPI to a CPU that polls, and all where a request
 * is there already; the code, which is more careful, does it all the same. Checked by spin for all orders of steps; see tests/lab/test_models.py.
 *
 * With one of these defined a step is left out, and the check has to fail: FORGET_KICK (sched_block() does not look
 * at requests), LATE_IRR (the interrupt is there only after the request), LATE_POLLING (a poster that finds the CPU polling relies on it, though it has stopped).
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
    bit had;

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
    atomic { had = kick; kick = 0 };
    if
    :: irr -> irr = 0; goto look /* delivered; the guest's handler halts again, or the next one waits */
    :: else
    fi;
    if
    :: goto guest /* it has something to do */
    :: goto halted
    fi;

guest: /* until an IPI makes it exit, or it halts */
    if
    :: ipi -> ipi = 0; goto look
    :: goto halted
    fi;

halted:
    /* halt_ends_soon(): some rounds, or none */
    polling = 1;
    do
    :: kick -> polling = 0; goto look
    :: break
    od;
    polling = 0;
    take_lock();
    if
#ifndef FORGET_KICK
    :: kick -> drop_lock(); goto look
#endif
#ifdef FORGET_KICK
    :: true
#else
    :: else
#endif
    -> sched = BLOCKED; drop_lock()
    fi;
    goto pick
}

active [POSTERS] proctype poster()
{
    mtype before;
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
        atomic { had = kick; kick = 1 };
#ifdef LATE_IRR
        irr = 1;
#endif
        if
        :: had -> skip /* who set it notifies, and irr is seen when it is taken */
        :: else ->
#ifndef LATE_POLLING
            looks = polling;
#endif
            if
            :: looks -> skip
            :: else ->
                take_lock();
                before = sched;
                if
                :: before == BLOCKED -> queued = 1; sched = QUEUED
                :: else
                fi;
                drop_lock();
                if
                :: before != QUEUED -> ipi = 1
                :: else
                fi
            fi
        fi
    :: break
    od
}

/* Nobody waits for ever. */
ltl seen { [] (irr -> <> !irr) }
