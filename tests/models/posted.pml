/* SPDX-License-Identifier: MIT */
/*
 * Does what is posted to a descriptor always reach its vCPU, which runs, is queued, sleeps and moves between two CPUs?
 * The owner's steps are those of vmm/posted.c, vmm/sched.c and vmm/run.c, and of a CPU that takes a notification while
 * the guest runs; one poster is pi_post() and posted_notify(), the other a CPU's IPI virtualization. Interrupts are off
 * but in a guest and in the idle halt. What goes without a descriptor is in wakeup.pml: REQ_KICK, polling, that one that
 * is queued finds a CPU. What only those look at who hold the lock changes in one step. Checked by spin for all orders
 * of steps; see tests/lab/test_models.py.
 *
 * With one of these defined there is a mistake in it, and the check has to fail:
 * LOOK_FIRST  sched_block() looks at ON before the descriptor says whom to wake
 * NO_ON       it does not look at ON
 * KEEP_NV     it keeps the vector of a vCPU that runs
 * KEEP_SN     it has SN set
 * FORGET_PIR  SN is cleared without a look at PIR
 * EARLY_PIR   with a look at PIR before
 * KEEP_NDST   a vCPU that has moved is still notified where it was
 * LATE_ON     ON is cleared after PIR is emptied
 * NO_LOOK     a guest is entered without a look at ON
 * STALE_NDST  who posts reads whom to notify before ON is set
 * LATE_PIR    it sets PIR after ON
 * WAKE_PIR    the handler of the wake-up vector looks at PIR before it has the lock, instead of at ON
 */
mtype = { QUEUED, RUNNING, BLOCKED };
mtype = { POSTED, WAKE };

/* The descriptor; each poster has a vector of its own. */
bit pir[2];
bit on, sn;
mtype nv = WAKE;
bit ndst;

mtype sched = BLOCKED;
bit home;   /* its CPU, the last one that it ran on */
bit halted; /* it sleeps when nothing is there for it */
bit lock;   /* of the lists that it is in */

/* Pending at each CPU */
bit ipi_posted[2];
bit ipi_wake[2];

inline look_at_pir()
{
    if
    :: pir[0] || pir[1] -> on = 1
    :: else
    fi
}

inline resume(me)
{
#ifdef EARLY_PIR
    look_at_pir();
#endif
#ifndef KEEP_NDST
    ndst = me;
#endif
    nv = POSTED;
    sn = 0;
#if !defined(EARLY_PIR) && !defined(FORGET_PIR)
    look_at_pir()
#endif
}

inline enqueue() { d_step { sched = QUEUED; sn = 1 } }

inline take_bit(n) { d_step { got = got || pir[n]; pir[n] = 0 } }

/* lapic_take_posted(), and what a CPU does with the notification vector. */
inline take_posted(me)
{
    assert(sched == RUNNING && home == me);
#ifdef LATE_ON
    take_bit(0);
    take_bit(1);
    on = 0
#else
    on = 0;
    take_bit(0);
    take_bit(1)
#endif
}

/* posted_wake() */
inline wake_sleepers(me)
{
#ifdef WAKE_PIR
    got = pir[0] || pir[1];
    atomic {
        !lock;
        if
        :: sched == BLOCKED && home == me && got -> enqueue()
        :: else
        fi;
        got = 0
    }
#else
    atomic {
        !lock;
        if
        :: sched == BLOCKED && home == me && on -> enqueue()
        :: else
        fi
    }
#endif
}

proctype cpu(bit me)
{
    bit got;

idle: /* or busy with another vCPU */
    if
    :: ipi_wake[me] -> ipi_wake[me] = 0; wake_sleepers(me); goto idle
    :: ipi_posted[me] -> ipi_posted[me] = 0; goto idle
    :: atomic { sched == QUEUED && !lock -> lock = 1; sched = RUNNING }
    fi;
    /* sched_pick() */
    resume(me);
    d_step { home = me; lock = 0 };

look: /* prepare() */
#ifdef NO_LOOK
    if
    :: halted && on -> take_posted(me)
    :: else
    fi;
#else
    if
    :: on -> take_posted(me)
    :: else
    fi;
#endif
    d_step { halted = halted && !got; got = 0 };
    if
    :: halted -> goto block
    :: !halted -> goto guest
    :: atomic { !lock -> enqueue() }; goto idle /* its slice is over */
    fi;

guest:
    if
    :: goto look /* an exit */
    :: halted = 1; goto look
    :: true /* no exit before an interrupt */
    fi;
    if
    :: ipi_wake[me] -> ipi_wake[me] = 0; goto look /* for one that sleeps here */
    :: ipi_posted[me] -> ipi_posted[me] = 0; take_posted(me); got = 0; goto guest
    fi;

block: /* sched_block() */
#ifdef LOOK_FIRST
    got = on;
#endif
    atomic {
        !lock -> lock = 1;
        sched = BLOCKED;
#ifdef KEEP_SN
        sn = 1;
#endif
#ifndef KEEP_NV
        nv = WAKE
#endif
    };
#if defined(NO_ON)
    got = 0;
#elif !defined(LOOK_FIRST)
    got = on;
#endif
    if
    :: got -> got = 0; sched = RUNNING; resume(me); lock = 0; goto look
    :: else -> lock = 0; goto idle
    fi
}

inline notify()
{
    d_step {
        if
        :: vector == POSTED -> ipi_posted[to] = 1
        :: else -> ipi_wake[to] = 1
        fi;
        vector = POSTED;
        to = 0
    }
}

inline read_control() { d_step { vector = nv; to = ndst } }

proctype software()
{
    mtype vector = POSTED;
    bit had, to;

    do
    ::
#ifndef LATE_PIR
        pir[0] = 1;
#endif
        if
        :: on || sn
#ifdef LATE_PIR
            -> pir[0] = 1
#endif
        :: else ->
#ifdef STALE_NDST
            read_control();
#endif
            d_step { had = on; on = 1 };
#ifdef LATE_PIR
            pir[0] = 1;
#endif
            if
            :: had -> had = 0
            :: else ->
#ifndef STALE_NDST
                read_control();
#endif
                notify()
            fi
        fi
    :: break
    od
}

proctype hardware()
{
    mtype vector = POSTED;
    bit had, to;

    do
    ::
        d_step { pir[1] = 1; had = on || sn; on = on || !sn; vector = nv; to = ndst };
        if
        :: had -> d_step { had = 0; vector = POSTED; to = 0 }
        :: else -> notify()
        fi
    :: break
    od
}

/* Its timer, or a kick: it is queued for another reason. */
proctype others()
{
    do
    :: atomic { sched == BLOCKED && !lock -> enqueue() }
    :: break
    od
}

init { atomic { run cpu(0); run cpu(1); run software(); run hardware(); run others() } }

/* When all wait, and for ever, nothing is left. */
active proctype end()
{
    timeout -> assert(!pir[0] && !pir[1])
}
