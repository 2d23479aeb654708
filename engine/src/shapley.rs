//! Shapley values of cooperative games with few players: who contributes how much to what all achieve together.
//!
//! A coalition is a number whose bit i says whether player i belongs to it, so a game is a list of 2^n values. All values are whole
//! numbers: n!·φᵢ is a sum of values with whole coefficients, so nothing is rounded, and where the values are shared among
//! parties each computes its share of it alone.
//!
//! Source: Shapley, "A value for n-person games", 1953.

/// Most players: a game has 2^n values.
pub const MAX_PLAYERS: usize = 8;

/// n!: what [`numerators`] are to be divided by.
///
/// # Panics
///
/// For more than [`MAX_PLAYERS`].
pub fn denominator(n_players: usize) -> i64 {
    assert!(n_players <= MAX_PLAYERS, "at most {MAX_PLAYERS} players");
    (1..=n_players as i64).product()
}

/// By what each coalition's value is multiplied in n!·φ of a player: (s−1)!·(n−s)! for the s members of a coalition with
/// it, −s!·(n−s−1)! for those of one without it.
///
/// # Panics
///
/// For more than [`MAX_PLAYERS`], and for a player who is not among them.
pub fn coefficients(n_players: usize, player: usize) -> Vec<i64> {
    assert!(player < n_players, "one of the players");
    let factorial = denominator;
    let coefficient = |coalition: usize| {
        let size = coalition.count_ones() as usize;
        match coalition >> player & 1 {
            1 => factorial(size - 1) * factorial(n_players - size),
            _ => -factorial(size) * factorial(n_players - size - 1),
        }
    };
    (0..1 << n_players).map(coefficient).collect()
}

/// n!·φ of every player of a game.
///
/// # Panics
///
/// If there are not 2^n values for some n up to [`MAX_PLAYERS`].
pub fn numerators(values: &[i64]) -> Vec<i64> {
    assert!(
        values.len().is_power_of_two(),
        "a value for every coalition"
    );
    let n_players = values.len().ilog2() as usize;
    let of_player = |player| {
        let coefficients = coefficients(n_players, player);
        coefficients.iter().zip(values).map(|(c, v)| c * v).sum()
    };
    (0..n_players).map(of_player).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// R² of every coalition of three parties with a column each, for correlations 1/2, 0 and 1/4 of these and 3/5, 1/2 and 3/10
    /// with the label, over the common denominator 16500.
    #[test]
    fn the_worked_example_has_its_values() {
        let fractions = [
            (0, 1),
            (9, 25),
            (1, 4),
            (31, 75),
            (9, 100),
            (9, 20),
            (106, 375),
            (26, 55),
        ];
        let values = fractions.map(|(n, d)| n * 16500 / d);
        assert!(
            fractions
                .iter()
                .zip(&values)
                .all(|((n, d), v)| v * d == n * 16500)
        );
        let found = numerators(&values);
        let over = 6 * 16500;
        for (found, (n, d)) in found
            .iter()
            .zip([(8929, 33000), (1451, 11000), (1159, 16500)])
        {
            assert_eq!(found * d, n * over);
        }
        assert_eq!(found.iter().sum::<i64>() * 55, 26 * over);
    }

    #[test]
    fn a_game_of_nobody_has_no_values() {
        assert!(numerators(&[7]).is_empty());
        assert_eq!(numerators(&[0, 5]), [5]);
    }

    /// The definition: the mean over all orders of what a player adds to those before it.
    fn by_orders(values: &[i64], n_players: usize) -> Vec<i64> {
        fn walk(coalition: usize, values: &[i64], n_players: usize, sums: &mut [i64]) {
            let rest = (0..n_players).filter(|p| coalition >> p & 1 == 0);
            let rest: Vec<usize> = rest.collect();
            let orders: i64 = (1..rest.len() as i64).product();
            for player in rest {
                let with = coalition | 1 << player;
                sums[player] += orders * (values[with] - values[coalition]);
                walk(with, values, n_players, sums);
            }
        }
        let mut sums = vec![0; n_players];
        walk(0, values, n_players, &mut sums);
        sums
    }

    proptest! {
        #[test]
        fn values_are_those_of_the_definition(n in 1usize..=6, seed in prop::collection::vec(-1000i64..1000, 64)) {
            let values = &seed[..1 << n];
            let found = numerators(values);
            prop_assert_eq!(&found, &by_orders(values, n));
            let (first, last) = (values[0], values[values.len() - 1]);
            prop_assert_eq!(found.iter().sum::<i64>(), denominator(n) * (last - first), "efficiency");
        }

        #[test]
        fn who_adds_nothing_gets_nothing_and_equals_get_the_same(seed in prop::collection::vec(-1000i64..1000, 16)) {
            // Player 3 adds nothing; players 1 and 2 add the same, wherever they join.
            let value = |c: usize| seed[(c & 1) | (((c >> 1) & 1) + ((c >> 2) & 1)) << 1];
            let values: Vec<i64> = (0..16).map(value).collect();
            let found = numerators(&values);
            prop_assert_eq!(found[3], 0);
            prop_assert_eq!(found[1], found[2]);
        }

        #[test]
        fn values_of_sums_are_sums_of_values(x in prop::collection::vec(-1000i64..1000, 16), y in prop::collection::vec(-1000i64..1000, 16)) {
            let sum: Vec<i64> = x.iter().zip(&y).map(|(x, y)| x + y).collect();
            let parts = numerators(&x).into_iter().zip(numerators(&y));
            prop_assert_eq!(numerators(&sum), parts.map(|(x, y)| x + y).collect::<Vec<_>>());
        }
    }
}
