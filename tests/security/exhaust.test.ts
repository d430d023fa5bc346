import { describeAttacks } from '../helpers/attacks.js';
import { exhaust } from './exhaust.attacks.js';

describeAttacks('exhaust', exhaust);
